/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/grace.h"

#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"

int grace_wait(struct error *err)
{
	_cleanup_close_ int inner = -1, outer = -1;
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	int key = 0;

	inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "rpd_grace_in", 4, 4, 1, NULL);
	if (inner >= 0) {
		opts.inner_map_fd = inner;
		outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "rpd_grace", 4, 4, 1, &opts);
	}
	if (outer < 0 || bpf_map_update_elem(outer, &key, &inner, BPF_ANY) < 0)
		return error_set(err, -errno, "can't wait for the kernel to take up a change: %s",
		                 strerror(errno));
	return 0;
}
