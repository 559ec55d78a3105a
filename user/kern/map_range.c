/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/map_range.h"

#include <errno.h>
#include <stdlib.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"

int map_range_read(int fd, uint32_t first, size_t n, void *values)
{
	_cleanup_free_ uint32_t *keys = calloc(n + 1, sizeof(*keys));
	uint32_t before = first - 1, last, got = n;

	if (!keys)
		return -ENOMEM;
	if (n == 0)
		return 0;
	/* ENOENT: the end of the map. */
	if (bpf_map_lookup_batch(fd, first ? &before : NULL, &last, keys, values, &got, NULL) < 0 &&
	    errno != ENOENT)
		return -errno;
	return got == n ? 0 : -EIO;
}
