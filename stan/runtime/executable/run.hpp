// The runs of Stan's services, each compiled by itself because it takes long.

#ifndef PYROBMA_RUNTIME_EXECUTABLE_RUN_HPP
#define PYROBMA_RUNTIME_EXECUTABLE_RUN_HPP

#include "arguments.hpp"

#include <stan/callbacks/interrupt.hpp>
#include <stan/callbacks/logger.hpp>
#include <stan/callbacks/structured_writer.hpp>
#include <stan/callbacks/writer.hpp>
#include <stan/io/var_context.hpp>

#include <vector>

namespace stan {
namespace model {
class model_base;
}
}  // namespace stan

namespace pyrobma {

// What a run reads and writes.
struct Run {
  stan::model::model_base& model;
  const Arguments& arguments;
  const stan::io::var_context& init;
  double init_radius;
  const stan::io::var_context* metric;  // null: the unit metric
  stan::callbacks::interrupt& interrupt;
  stan::callbacks::logger& logger;
  stan::callbacks::writer& draws;
  stan::callbacks::writer& diagnostics;
  stan::callbacks::structured_writer& adapted_metric;
};

// Each returns 0 on success and else has logged why not.
int sample_diag(const Run& run);
int sample_dense(const Run& run);
int sample_unit(const Run& run);
int sample_fixed(const Run& run);
int optimize(const Run& run);

// `draws`: parameters of an earlier fit, row by row. `stream`: which of the seed's
// streams of random numbers.
int generate_quantities(const Run& run, const std::vector<std::vector<double>>& draws,
                        unsigned int stream);

}  // namespace pyrobma

#endif
