// The C functions of a compiled program's shared library, for C99 and C++.
//
// Names, types and meaning follow version 2.9.0 of BridgeStan's C interface, so that
// its clients open the library. Functions that return int return 0 on success and -1
// on failure, unless said otherwise; on failure *err, when err is not NULL, receives
// a message to be freed with bs_free_error_msg. In shapes, D is
// bs_param_unc_num(model) and P(tp, gq) is bs_param_num(model, tp, gq).
//
// Threads: a model may be used by many threads at once, an rng by one at a time.
// Calls that differentiate, or that drop constants (propto), take turns; the others
// run in parallel. This needs programs whose plain evaluation does not differentiate
// inside, as algebraic solvers and stiff ODE solvers do.

#ifndef PYROBMA_RUNTIME_LIBRARY_BRIDGE_H
#define PYROBMA_RUNTIME_LIBRARY_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __GNUC__
#define BS_PUBLIC __attribute__((visibility("default")))
#else
#define BS_PUBLIC
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bs_model bs_model;  // a program with its data
typedef struct bs_rng bs_rng;      // a random number generator

typedef void (*bs_print_callback)(const char* text, size_t size);
typedef bs_print_callback STREAM_CALLBACK;  // what BridgeStan calls it

BS_PUBLIC extern const int bs_major_version;
BS_PUBLIC extern const int bs_minor_version;
BS_PUBLIC extern const int bs_patch_version;

// `data`: JSON text, or a path that ends in ".json"; NULL or "" when there are none.
// `seed`: for random numbers drawn in `transformed data`. NULL on failure.
BS_PUBLIC bs_model* bs_model_construct(const char* data, unsigned int seed,
                                       char** err);
BS_PUBLIC void bs_model_destruct(bs_model* model);
BS_PUBLIC void bs_free_error_msg(char* message);

// Where the program's print statements go, for all models of this library; NULL: to
// standard output. Calls never overlap; the text is not terminated by a zero.
BS_PUBLIC int bs_set_print_callback(bs_print_callback callback, char** err);

// The texts belong to the model. Names are joined by commas.
BS_PUBLIC const char* bs_name(const bs_model* model);
BS_PUBLIC const char* bs_model_info(const bs_model* model);
BS_PUBLIC const char* bs_param_names(const bs_model* model, bool include_tp,
                                     bool include_gq);
BS_PUBLIC const char* bs_param_unc_names(const bs_model* model);
BS_PUBLIC int bs_param_num(const bs_model* model, bool include_tp, bool include_gq);
BS_PUBLIC int bs_param_unc_num(const bs_model* model);

// `unc` [D] to `con` [P(tp, gq)]. `rng` is read only when include_gq is true.
BS_PUBLIC int bs_param_constrain(const bs_model* model, bool include_tp,
                                 bool include_gq, const double* unc, double* con,
                                 bs_rng* rng, char** err);
// `con` [P(false, false)] to `unc` [D].
BS_PUBLIC int bs_param_unconstrain(const bs_model* model, const double* con,
                                   double* unc, char** err);
// `json` holds every parameter by name.
BS_PUBLIC int bs_param_unconstrain_json(const bs_model* model, const char* json,
                                        double* unc, char** err);
// A point with finite log density and gradient: values named in `json` (may be NULL)
// are kept, the others are uniform on [-radius, radius), unconstrained scale.
BS_PUBLIC int bs_param_initialize(const bs_model* model, const char* json, bs_rng* rng,
                                  double radius, int max_tries, bool jacobian,
                                  double* unc, char** err);

// `propto` drops constant terms, `jacobian` adds the log Jacobian determinant of the
// constraining transform. `grad` [D], `hess` [D x D], `v` [D], `hvp` [D].
BS_PUBLIC int bs_log_density(const bs_model* model, bool propto, bool jacobian,
                             const double* unc, double* lp, char** err);
BS_PUBLIC int bs_log_density_gradient(const bs_model* model, bool propto, bool jacobian,
                                      const double* unc, double* lp, double* grad,
                                      char** err);
BS_PUBLIC int bs_log_density_hessian(const bs_model* model, bool propto, bool jacobian,
                                     const double* unc, double* lp, double* grad,
                                     double* hess, char** err);
BS_PUBLIC int bs_log_density_hessian_vector_product(const bs_model* model, bool propto,
                                                    bool jacobian, const double* unc,
                                                    const double* v, double* lp,
                                                    double* hvp, char** err);

BS_PUBLIC bs_rng* bs_rng_construct(unsigned int seed, char** err);
BS_PUBLIC void bs_rng_destruct(bs_rng* rng);

// ---- Not part of BridgeStan: many points in one call, arrays row by row -----------

// `unc` [n x D] to `lp` [n]. A point where the program fails gets NaN. Returns how
// many did, *err then holding the first one's message; -1 for wrong arguments.
BS_PUBLIC int bs_x_pyrobma_log_density_many(const bs_model* model, bool propto,
                                            bool jacobian, int n, const double* unc,
                                            double* lp, char** err);
// `unc` [n x D] to `con` [n x P(tp, false)]; the message names the failing row.
BS_PUBLIC int bs_x_pyrobma_param_constrain_many(const bs_model* model, bool include_tp,
                                                int n, const double* unc, double* con,
                                                char** err);
// `con` [n x P(false, false)] to `unc` [n x D]; the message names the failing row.
BS_PUBLIC int bs_x_pyrobma_param_unconstrain_many(const bs_model* model, int n,
                                                  const double* con, double* unc,
                                                  char** err);

#ifdef __cplusplus
}
#endif

#endif
