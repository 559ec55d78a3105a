/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/grace.h"

#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"

static int grace_explain(struct error *err)
{
	return error_set(err, -errno, "can't wait until the kernel has applied a change: %s",
	                 strerror(errno));
}

int grace_prepare(struct grace *grace, struct error *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);

	if (grace->outer >= 0)
		return 0;
	if (grace->inner < 0)
		grace->inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "rpd_grace_in", 4, 4, 1, NULL);
	if (grace->inner < 0)
		return grace_explain(err);
	opts.inner_map_fd = grace->inner;
	grace->outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "rpd_grace", 4, 4, 1, &opts);
	return grace->outer < 0 ? grace_explain(err) : 0;
}

int grace_wait(const struct grace *grace, struct error *err)
{
	int key = 0;

	return bpf_map_update_elem(grace->outer, &key, &grace->inner, BPF_ANY) < 0
	               ? grace_explain(err)
	               : 0;
}

void grace_close(struct grace *grace)
{
	cleanup_close(&grace->outer);
	cleanup_close(&grace->inner);
	*grace = GRACE_NONE;
}
