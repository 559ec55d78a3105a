/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/rejoin.h"

#include <errno.h>
#include <string.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "kern/program.h"
#include "kern/socket_iterator.h"
#include "rejoin.skel.h"

static void rejoin_destroy(struct rejoin_bpf **skel)
{
	rejoin_bpf__destroy(*skel);
}

int rejoin(const struct steer *steer, struct rpd_rejoined **ret, size_t *ret_n, struct error *err)
{
	_cleanup_(rejoin_destroy) struct rejoin_bpf *skel = rejoin_bpf__open();
	/* With a buffer of ours, libbpf prints no log of a program that is refused. It reads the
	 * buffer also if the kernel has written no log. */
	char log[4096] = "";
	int r = skel ? bpf_program__set_log_buf(skel->progs.rejoin, log, sizeof(log)) : -errno;

	for (unsigned int e = 0; r == 0 && e < RPD_ENDPOINT_MAX; e++)
		if (steer_has_endpoint(steer, e))
			skel->rodata->programs[e] = program_id(steer->endpoints[e].prog_fd);
	if (r == 0)
		r = rejoin_bpf__load(skel);
	if (r == 0)
		r = rejoin_bpf__attach(skel);
	if (r < 0)
		return error_set(err, r,
		                 "that needs Linux 5.15, BTF (CONFIG_DEBUG_INFO_BTF) and "
		                 "CAP_PERFMON: %s",
		                 strerror(-r));
	return socket_iterator_read_soon(bpf_link__fd(skel->links.rejoin), sizeof(**ret), ret,
	                                 ret_n, err);
}
