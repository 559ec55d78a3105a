/* SPDX-License-Identifier: BSD-2-Clause */
/* The workers that answered, by their id, and the number of connections of each. */
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
 * Finds or creates the worker @id; "-" if @len is 0. Characters that are not printable are
 * replaced. The 4,097th and all later ids are "(others)". Ends the program if there is no memory.
 */
struct worker *workers_get(struct workers *workers, const char *id, size_t len);

/* Calls @visit for each worker in order. */
void workers_walk(const struct workers *workers,
                  void (*visit)(const struct worker *worker, void *data), void *data);

void workers_deinit(struct workers *workers);
