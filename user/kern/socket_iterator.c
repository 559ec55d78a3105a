/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/socket_iterator.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "kern/held_rows.h"

#define HELD_MAX 16

/* A read returns whole rows. The kernel makes up to 32 KiB of them at once. */
#define READ_MAX 32768

struct socket_iterator {
	struct held_rows rows;
	int fd;
	size_t row_size;
};

/* How many bytes come before the row that ends the list. */
static size_t socket_iterator_end(const char *rows, size_t size, size_t row_size)
{
	const uint64_t none = 0;
	size_t at = 0;

	while (at + row_size <= size && memcmp(rows + at, &none, sizeof(none)) != 0)
		at += row_size;
	return at;
}

static int socket_iterator_read_rows(const struct socket_iterator *it)
{
	char rows[READ_MAX];
	const size_t size = sizeof(rows) / it->row_size * it->row_size;

	for (;;) {
		const ssize_t n = read(it->fd, rows, size);
		size_t wanted;
		int r;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		wanted = socket_iterator_end(rows, (size_t)n, it->row_size);
		r = held_rows_write(it->rows.file, rows, wanted);
		if (r < 0 || wanted < (size_t)n)
			return r;
	}
}

static void socket_iterator_run(void *data)
{
	struct socket_iterator *it = data;

	it->rows.result = socket_iterator_read_rows(it);
}

static int socket_iterator_read_for(bool is_long, int link, size_t row_size, void *ret,
                                    size_t *ret_n, struct error *err)
{
	_cleanup_close_ int fd = bpf_iter_create(link);
	struct socket_iterator it = {.fd = fd, .row_size = row_size};
	struct held_child_call call = {
	        .run = socket_iterator_run, .keep = {fd, -1}, .max = HELD_MAX, .is_long = is_long};

	if (fd < 0)
		return error_set(err, -errno, "%s", strerror(errno));
	return held_rows_read_sockets(&call, &it.rows, sizeof(it), row_size, ret, ret_n, err);
}

int socket_iterator_read(int link, size_t row_size, void *ret, size_t *ret_n, struct error *err)
{
	return socket_iterator_read_for(true, link, row_size, ret, ret_n, err);
}

int socket_iterator_read_soon(int link, size_t row_size, void *ret, size_t *ret_n,
                              struct error *err)
{
	return socket_iterator_read_for(false, link, row_size, ret, ret_n, err);
}
