/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/holder_iterator.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "holder.skel.h"

#define PIDS_AT_ONCE 1024

static void holder_iterator_destroy(struct holder_bpf **skel)
{
	holder_bpf__destroy(*skel);
}

static int holder_iterator_fill(const struct holder_bpf *skel, const struct listener *listeners,
                                size_t n)
{
	const int inodes = bpf_map__fd(skel->maps.inodes);
	const uint8_t yes = 1;

	for (size_t i = 0; i < n; i++)
		if (bpf_map_update_elem(inodes, &listeners[i].inode, &yes, BPF_ANY) < 0)
			return -errno;
	return 0;
}

int holder_iterator_open(const struct listener *listeners, size_t n)
{
	_cleanup_(holder_iterator_destroy) struct holder_bpf *skel = holder_bpf__open();
	int r = skel ? bpf_map__set_max_entries(skel->maps.inodes, (uint32_t)n) : -errno;

	if (r == 0)
		r = holder_bpf__load(skel);
	if (r == 0)
		r = holder_iterator_fill(skel, listeners, n);
	if (r == 0)
		r = holder_bpf__attach(skel);
	if (r < 0)
		return r;
	r = fcntl(bpf_link__fd(skel->links.show_holder), F_DUPFD_CLOEXEC, 3);
	return r < 0 ? -errno : r;
}

static int holder_iterator_compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Returns how many are left. */
static size_t holder_iterator_sort(uint32_t *pids, size_t n)
{
	size_t kept = 0;

	qsort(pids, n, sizeof(*pids), holder_iterator_compare);
	for (size_t i = 0; i < n; i++)
		if (!kept || pids[kept - 1] != pids[i])
			pids[kept++] = pids[i];
	return kept;
}

int holder_iterator_read(int fd, uint32_t **ret, size_t *ret_n)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	for (;;) {
		uint32_t *more = reallocarray(pids, n + PIDS_AT_ONCE, sizeof(*more));
		ssize_t got;

		if (!more)
			return -ENOMEM;
		pids = more;
		got = read(fd, pids + n, PIDS_AT_ONCE * sizeof(*pids));
		if (got == 0)
			break;
		if (got > 0)
			n += (size_t)got / sizeof(*pids);
		else if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	*ret_n = holder_iterator_sort(pids, n);
	*ret = TAKE_PTR(pids);
	return 0;
}
