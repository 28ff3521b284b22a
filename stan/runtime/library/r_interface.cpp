// The C functions again for R's .C(), which passes every argument by pointer: flags
// and counts as int*, texts as char**, models and generators as pointers to handles.

#include "bridge.h"

namespace {

// R frees a message through a handle of its own, after copying the text.
void hand_over(char** err_msg, void** err_ptr) {
  *err_ptr = static_cast<void*>(*err_msg);
}

}  // namespace

extern "C" {

BS_PUBLIC void bs_version_R(int* major, int* minor, int* patch) {
  *major = bs_major_version;
  *minor = bs_minor_version;
  *patch = bs_patch_version;
}

BS_PUBLIC void bs_model_construct_R(char** data, int* seed, bs_model** model,
                                    char** err_msg, void** err_ptr) {
  *model = bs_model_construct(*data, static_cast<unsigned int>(*seed), err_msg);
  hand_over(err_msg, err_ptr);
}

BS_PUBLIC void bs_model_destruct_R(bs_model** model) { bs_model_destruct(*model); }

BS_PUBLIC void bs_free_error_msg_R(void** err_ptr) {
  bs_free_error_msg(static_cast<char*>(*err_ptr));
}

BS_PUBLIC void bs_name_R(bs_model** model, const char** name) {
  *name = bs_name(*model);
}

BS_PUBLIC void bs_model_info_R(bs_model** model, const char** info) {
  *info = bs_model_info(*model);
}

BS_PUBLIC void bs_param_names_R(bs_model** model, int* include_tp, int* include_gq,
                                const char** names) {
  *names = bs_param_names(*model, *include_tp != 0, *include_gq != 0);
}

BS_PUBLIC void bs_param_unc_names_R(bs_model** model, const char** names) {
  *names = bs_param_unc_names(*model);
}

BS_PUBLIC void bs_param_num_R(bs_model** model, int* include_tp, int* include_gq,
                              int* number) {
  *number = bs_param_num(*model, *include_tp != 0, *include_gq != 0);
}

BS_PUBLIC void bs_param_unc_num_R(bs_model** model, int* number) {
  *number = bs_param_unc_num(*model);
}

BS_PUBLIC void bs_param_constrain_R(bs_model** model, int* include_tp, int* include_gq,
                                    const double* unc, double* con, bs_rng** rng,
                                    int* return_code, char** err_msg, void** err_ptr) {
  // Without generated quantities R passes something shorter than a pointer.
  bs_rng* generator = *include_gq != 0 ? *rng : nullptr;
  *return_code = bs_param_constrain(*model, *include_tp != 0, *include_gq != 0, unc,
                                    con, generator, err_msg);
  hand_over(err_msg, err_ptr);
}

BS_PUBLIC void bs_param_unconstrain_R(bs_model** model, const double* con, double* unc,
                                      int* return_code, char** err_msg,
                                      void** err_ptr) {
  *return_code = bs_param_unconstrain(*model, con, unc, err_msg);
  hand_over(err_msg, err_ptr);
}

BS_PUBLIC void bs_param_unconstrain_json_R(bs_model** model, const char** json,
                                           double* unc, int* return_code,
                                           char** err_msg, void** err_ptr) {
  *return_code = bs_param_unconstrain_json(*model, *json, unc, err_msg);
  hand_over(err_msg, err_ptr);
}

BS_PUBLIC void bs_log_density_R(bs_model** model, int* propto, int* jacobian,
                                const double* unc, double* lp, int* return_code,
                                char** err_msg, void** err_ptr) {
  *return_code
      = bs_log_density(*model, *propto != 0, *jacobian != 0, unc, lp, err_msg);
  hand_over(err_msg, err_ptr);
}

BS_PUBLIC void bs_log_density_gradient_R(bs_model** model, int* propto, int* jacobian,
                                         const double* unc, double* lp, double* grad,
                                         int* return_code, char** err_msg,
                                         void** err_ptr) {
  *return_code = bs_log_density_gradient(*model, *propto != 0, *jacobian != 0, unc, lp,
                                         grad, err_msg);
  hand_over(err_msg, err_ptr);
}

BS_PUBLIC void bs_log_density_hessian_R(bs_model** model, int* propto, int* jacobian,
                                        const double* unc, double* lp, double* grad,
                                        double* hess, int* return_code, char** err_msg,
                                        void** err_ptr) {
  *return_code = bs_log_density_hessian(*model, *propto != 0, *jacobian != 0, unc, lp,
                                        grad, hess, err_msg);
  hand_over(err_msg, err_ptr);
}

BS_PUBLIC void bs_log_density_hessian_vector_product_R(
    bs_model** model, int* propto, int* jacobian, const double* unc, const double* v,
    double* lp, double* hvp, int* return_code, char** err_msg, void** err_ptr) {
  *return_code = bs_log_density_hessian_vector_product(
      *model, *propto != 0, *jacobian != 0, unc, v, lp, hvp, err_msg);
  hand_over(err_msg, err_ptr);
}

BS_PUBLIC void bs_rng_construct_R(int* seed, bs_rng** rng, char** err_msg,
                                  void** err_ptr) {
  *rng = bs_rng_construct(static_cast<unsigned int>(*seed), err_msg);
  hand_over(err_msg, err_ptr);
}

BS_PUBLIC void bs_rng_destruct_R(bs_rng** rng) { bs_rng_destruct(*rng); }

}  // extern "C"
