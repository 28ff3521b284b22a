# Log density and gradient of a Stan program at a point, by R alone: no packages.
#
#   Rscript examples/density.R normal.so examples/normal/data.json 0.18 -1.2 0.5
#
# The numbers are a point of the unconstrained parameters, whose names are printed.

arguments <- commandArgs(trailingOnly = TRUE)
library_file <- normalizePath(arguments[1])
data_file <- arguments[2]
point <- as.double(arguments[-(1:2)])

dyn.load(library_file)
package <- tools::file_path_sans_ext(basename(library_file))

# .C() passes copies and returns them as the function leaves them: results, return
# codes and messages are among the arguments. A handle is eight bytes.
bridge <- function(name, ...) .C(name, ..., PACKAGE = package)

refuse <- function(made) {
  bridge("bs_free_error_msg_R", made$error)
  stop(made$message, call. = FALSE)
}

made <- bridge("bs_model_construct_R", data_file, seed = 1L,
               model = raw(8), message = "", error = raw(8))
if (all(made$model == 0)) refuse(made)
model <- made$model

parameters <- bridge("bs_param_unc_names_R", model, names = "")$names
if (bridge("bs_param_unc_num_R", model, number = 0L)$number != length(point)) {
  stop("expected a number for each of ", parameters, call. = FALSE)
}

made <- bridge("bs_log_density_gradient_R", model, propto = 0L, jacobian = 1L, point,
               value = double(1), gradient = double(length(point)),
               failed = 0L, message = "", error = raw(8))
if (made$failed != 0) refuse(made)

cat("parameters", parameters, "\n")
cat("log_density", format(made$value, digits = 17), "\n")
cat("gradient", format(made$gradient, digits = 17), "\n")

invisible(bridge("bs_model_destruct_R", model))
