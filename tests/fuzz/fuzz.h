/* fuzz: what the fuzz targets share. A broken invariant aborts, so that
 * libFuzzer keeps the input; replay.c runs the same targets over files. */
#ifndef ZG_TESTS_FUZZ_H
#define ZG_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define CHECK(condition)                                                                  \
	do {                                                                              \
		if (!(condition)) {                                                       \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);   \
			abort();                                                          \
		}                                                                         \
	} while (0)

#endif
