// Log density and gradient of a Stan program at a point, from Node.js.
//
//   npm install koffi@3
//   node examples/density.js normal.so examples/normal/data.json 0.18 -1.2 0.5
//
// The numbers are a point of the unconstrained parameters, whose names are printed.

const path = require("node:path");
const koffi = require("koffi");

const [libraryFile, dataFile, ...numbers] = process.argv.slice(2);
const point = Float64Array.from(numbers, Number);

const library = koffi.load(path.resolve(libraryFile));
const construct = library.func(
  "void *bs_model_construct(const char *data, unsigned int seed, _Out_ void **error)");
const destruct = library.func("void bs_model_destruct(void *model)");
const freeMessage = library.func("void bs_free_error_msg(void *error)");
const parameterNames = library.func("const char *bs_param_unc_names(void *model)");
const parameterNumber = library.func("int bs_param_unc_num(void *model)");
const densityGradient = library.func(
  "int bs_log_density_gradient(void *model, bool propto, bool jacobian, " +
  "const double *point, _Out_ double *value, _Out_ double *gradient, " +
  "_Out_ void **error)");

const error = [null]; // a pointer to a text of the library
function refuse() {
  const message = koffi.decode(error[0], "char", -1);
  freeMessage(error[0]);
  throw new Error(message);
}

const model = construct(dataFile, 1, error) || refuse();
const names = parameterNames(model);
if (parameterNumber(model) !== point.length) {
  throw new Error(`expected a number for each of ${names}`);
}

const value = [0];
const gradient = new Float64Array(point.length);
if (densityGradient(model, false, true, point, value, gradient, error) !== 0) refuse();

console.log("parameters", names);
console.log("log_density", value[0]);
console.log("gradient", ...gradient);

destruct(model);
