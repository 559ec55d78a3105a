/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows that a child reads (held_child.h): any number of them, in a file that both have open.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "kern/held_child.h"

struct held_rows {
	int file; /* by the child: for held_rows_write() */
	int result;
};

/* Adds to the file, in the child. Returns 0 or a negative errno. */
int held_rows_write(int file, const void *rows, size_t size);

/*
 * Runs @call in a child. @size bytes of @data begin with a struct held_rows: its file is open in
 * the child, and the child sets the result. Sets *ret, a pointer to rows, if the result is 0; the
 * caller frees it. NULL: there are none.
 */
enum held_child_result held_rows_run(struct held_child_call *call, struct held_rows *data,
                                     size_t size, size_t row_size, void *ret, size_t *ret_n);

/* The same, for sockets: one that a process keeps locked is an error. */
int held_rows_read_sockets(struct held_child_call *call, struct held_rows *data, size_t size,
                           size_t row_size, void *ret, size_t *ret_n, struct error *err);
