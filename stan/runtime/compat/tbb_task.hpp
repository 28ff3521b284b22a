// Included ahead of everything. TBB gives constants of an enumeration values beyond its
// last enumerator, which clang 16 and newer refuse; one more enumerator makes room.
#ifndef PYROBMA_COMPAT_TBB_TASK_HPP
#define PYROBMA_COMPAT_TBB_TASK_HPP

#define isolated isolated_room = 7, isolated = 0
#include <tbb/task.h>
#undef isolated

#endif
