/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz.h"

#include <sanitizer/allocator_interface.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"

#define MEMORY_FREE (8u << 20) /* what any input may need */

/* A sanitizer makes a program several times slower; quadratic time is minutes for a large input. A
 * slow or busy machine gets more time: as often that of a fixed amount of work. */
#define LARGE      16384
#define CPU_S      5
#define WORK_BYTES (64u << 20)
#define WORK_TIMES 100

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Allocated since the input began, in bytes; negative if it frees what is older. */
static long live, peak;

_Noreturn void fuzz_fail(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
	abort();
}

_Bool fuzz_has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return 1;
	return 0;
}

/* FNV-1a */
unsigned long fuzz_hash(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
	return hash ^ hash >> 32;
}

static void fuzz_on_malloc(const volatile void *p, size_t size)
{
	live += (long)size;
	if (live > peak)
		peak = live;
}

static void fuzz_on_free(const volatile void *p)
{
	live -= p ? (long)__sanitizer_get_allocated_size(p) : 0;
}

static double fuzz_cpu_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Ends the process if the input has taken much more than linear time. */
static void fuzz_check_cpu_time(double used, size_t size)
{
	const double start = fuzz_cpu_time();
	volatile uint64_t hash = 0;
	double limit;

	if (used <= CPU_S)
		return;
	for (unsigned int i = 0; i < WORK_BYTES; i++)
		hash = (hash ^ i) * 0x100000001b3;
	limit = WORK_TIMES * (fuzz_cpu_time() - start);
	if (used <= limit)
		return;
	fprintf(stderr, "%zu bytes of input need %.1f s, more than %.1f s\n", size, used,
	        limit > CPU_S ? limit : CPU_S);
	abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return __sanitizer_install_malloc_and_free_hooks(fuzz_on_malloc, fuzz_on_free) ? 0 : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);
	const double start = size >= LARGE ? fuzz_cpu_time() : 0;

	if (!text)
		return -1;
	*(char *)mempcpy(text, data, size) = '\0';
	live = peak = 0;
	fuzz_target.run(text, size);
	if (size >= LARGE)
		fuzz_check_cpu_time(fuzz_cpu_time() - start, size);
	if (peak > (long)(MEMORY_FREE + fuzz_target.memory * size)) {
		fprintf(stderr, "%zu bytes of input need %ld bytes of memory\n", size, peak);
		abort();
	}
	return 0;
}
