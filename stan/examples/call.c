/* Log density and gradient of a compiled program from C, at the point of an example,
 * against what is expected there. In a folder with normal.so and bridge.h:
 *
 *     cc -std=c99 -I. call.c ./normal.so -lm -o call && ./call examples/normal
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

/* Between two processors or compilers; log densities are some tens. */
#define TOLERANCE 1e-8

static void fail(const char* what, const char* which) {
  fprintf(stderr, "%s: %s\n", what, which);
  exit(1);
}

/* The path of a file of the example; the caller frees it. */
static char* join(const char* folder, const char* name) {
  size_t size = strlen(folder) + strlen(name) + 2;
  char* path = malloc(size);
  if (path == NULL) fail("no memory for", name);
  snprintf(path, size, "%s/%s", folder, name);
  return path;
}

/* The numbers, up to `most`, that follow a key in a JSON file; how many there were. */
static int read_numbers(const char* folder, const char* name, const char* key,
                        double* numbers, int most) {
  char text[4096];
  char* path = join(folder, name);
  FILE* file = fopen(path, "r");
  if (file == NULL) fail("cannot open", path);
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fclose(file);
  free(path);
  const char* next = strstr(text, key);
  if (next == NULL) fail("key not found", key);
  next += strlen(key);
  next += strspn(next, "\": [");
  for (int count = 0; count < most; ++count) {
    char* end;
    numbers[count] = strtod(next, &end);
    if (end == next) return count;
    next = end + strspn(end, ", \n");
  }
  return most;
}

int main(int argc, char** argv) {
  if (argc != 2) fail("usage: call FOLDER, with data.json, point.json", "expected.json");
  char* err = NULL;

  char* data = join(argv[1], "data.json");
  bs_model* model = bs_model_construct(data, 1, &err);
  free(data);
  if (model == NULL) fail("data", err);
  printf("%s\n%s", bs_name(model), bs_model_info(model));

  int dimension = bs_param_unc_num(model);
  double* point = malloc(3 * (size_t)dimension * sizeof *point);
  if (point == NULL) fail("no memory for", "the point");
  double* gradient = point + dimension;
  double* expected = gradient + dimension;
  double lp, expected_lp;
  if (read_numbers(argv[1], "point.json", "\"unconstrained\"", point, dimension) !=
          dimension ||
      read_numbers(argv[1], "expected.json", "\"gradient\"", expected, dimension) !=
          dimension ||
      read_numbers(argv[1], "expected.json", "\"log_density\"", &expected_lp, 1) != 1) {
    fail("too few numbers in", argv[1]);
  }

  /* All constants and the Jacobian: what marginal likelihoods need. */
  if (bs_log_density_gradient(model, false, true, point, &lp, gradient, &err) != 0) {
    fail("log density", err);
  }
  printf("log density %.10f\n", lp);
  int differences = !(fabs(lp - expected_lp) <= TOLERANCE);
  for (int i = 0; i < dimension; ++i) {
    printf("gradient[%d] %.10f\n", i, gradient[i]);
    differences += !(fabs(gradient[i] - expected[i]) <= TOLERANCE);
  }

  free(point);
  bs_model_destruct(model);
  if (differences > 0) fail("not as in expected.json", argv[1]);
  return 0;
}
