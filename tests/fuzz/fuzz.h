/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz targets: each file of targets/ is a program that gives random input to a parser, by
 * libFuzzer (tests/fuzz/run). It defines fuzz_target; fuzz.c does the rest.
 */
#pragma once

#include <stddef.h>

struct fuzz_target {
	/* Handles one input. @text is an allocation of its own, with a NUL byte behind @size bytes.
	 */
	void (*run)(const char *text, size_t size);
	/* How many bytes of memory one byte of input may need, beside the first 8 MB. */
	size_t memory;
};

extern const struct fuzz_target fuzz_target;

/* A property that holds for each input. */
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))

/* Prints the property that doesn't hold, and ends the process as a sanitizer does. */
_Noreturn void fuzz_fail(const char *file, int line, const char *condition);

/* Whether @text has a control character: one of C0 or DEL. */
_Bool fuzz_has_control(const char *text);

/* A number that depends on the text: an input for the parameters beside a text. */
unsigned long fuzz_hash(const char *text);
