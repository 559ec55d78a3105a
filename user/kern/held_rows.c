/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/held_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

int held_rows_write(int file, const void *rows, size_t size)
{
	const char *at = rows; /* NULL if there are none */

	while (size > 0) {
		const ssize_t n = write(file, at, size);

		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static int held_rows_read(int file, size_t row_size, void *ret, size_t *ret_n)
{
	_cleanup_free_ void *rows = NULL;
	struct stat st;

	if (fstat(file, &st) < 0)
		return -errno;
	if (st.st_size) {
		rows = malloc((size_t)st.st_size);
		if (!rows)
			return -ENOMEM;
		if (pread(file, rows, (size_t)st.st_size, 0) != st.st_size)
			return -EIO;
	}
	*ret_n = (size_t)st.st_size / row_size;
	*(void **)ret = TAKE_PTR(rows);
	return 0;
}

enum held_child_result held_rows_run(struct held_child_call *call, struct held_rows *data,
                                     size_t size, size_t row_size, void *ret, size_t *ret_n)
{
	_cleanup_close_ int file = memfd_create("rows", MFD_CLOEXEC);
	enum held_child_result result;

	if (file < 0)
		return HELD_CHILD_REFUSED;
	call->keep[1] = data->file = file;
	result = held_child_run(call, data, size);
	if (result == HELD_CHILD_DONE && data->result == 0)
		data->result = held_rows_read(file, row_size, ret, ret_n);
	return result;
}

int held_rows_read_sockets(struct held_child_call *call, struct held_rows *data, size_t size,
                           size_t row_size, void *ret, size_t *ret_n, struct error *err)
{
	switch (held_rows_run(call, data, size, row_size, ret, ret_n)) {
	case HELD_CHILD_STUCK:
		return error_set(err, -EAGAIN,
		                 "a process keeps a lock of the kernel, that of a TCP socket of "
		                 "this network namespace; end the process");
	case HELD_CHILD_REFUSED:
		return error_set(err, -EAGAIN,
		                 "no child can be started to list TCP sockets, or earlier ones "
		                 "wait for locks that processes keep");
	default:
		return data->result < 0
		               ? error_set(err, data->result, "%s", strerror(-data->result))
		               : 0;
	}
}
