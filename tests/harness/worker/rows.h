/* SPDX-License-Identifier: BSD-2-Clause */
/* The listeners. A row is one listener for each address. */
#pragma once

#include <stdint.h>

#include "options.h"

struct rows {
	const struct options *options;
	uint16_t port;
	unsigned n;
	int *listeners; /* n * options->n_addresses descriptors; -1: closed */
};

/* Opens the rows that the options ask for. Ends the program on failure. */
void rows_open(struct rows *rows, const struct options *options);

/* The row of lane @number. */
int *rows_get(const struct rows *rows, unsigned number);

/* Closes all rows except the @n rows from lane @first on. */
void rows_close_others(struct rows *rows, unsigned first, unsigned n);

/* Frees the memory; closes no listener. */
void rows_deinit(struct rows *rows);
