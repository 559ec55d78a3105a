/* SPDX-License-Identifier: BSD-2-Clause */
/* The workers that answered, by what they called themselves, and how many connections each got. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define WORKER_ID_MAX 64

struct worker {
	char id[WORKER_ID_MAX + 1];
	uint64_t connections;
};

struct workers {
	void *tree; /* of tsearch(), sorted naturally: w2 before w10 */
	size_t n;
};

/*
 * Finds or makes the worker called @id, of which what is not printable is replaced; "-" if @len is
 * 0. The 4,097th and all later ids are "(others)". Ends the program when there is no memory.
 */
struct worker *workers_get(struct workers *workers, const char *id, size_t len);

/* Calls @visit for each worker in order. */
void workers_walk(const struct workers *workers,
                  void (*visit)(const struct worker *worker, void *data), void *data);

void workers_deinit(struct workers *workers);
