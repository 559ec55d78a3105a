/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/guard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/libbpf.h>
#include <reuseportd/guard_abi.h>

#include "base/cleanup.h"
#include "guard.skel.h"
#include "kern/cgroup_program.h"

static const struct cgroup_program program = {BPF_CGROUP_SETSOCKOPT, "rpd_guard"};

struct guard {
	struct guard_bpf *skel;
	struct ring_buffer *ring;
	void (*on_attempt)(const struct guard_attempt *attempt, void *data);
	void *data;
};

static struct guard_attempt guard_describe(uint32_t option)
{
	static const char replace[] = "replace the steering program";
	static const char device[] = "bind a listener to a device";
	static const char none[] = "had no effect", refused[] = "was refused";

	switch (option) {
	case GUARD_ATTACH_CBPF:
		return (struct guard_attempt){"SO_ATTACH_REUSEPORT_CBPF", replace, none};
	case GUARD_ATTACH_EBPF:
		return (struct guard_attempt){"SO_ATTACH_REUSEPORT_EBPF", replace, none};
	case GUARD_LEAVE:
		return (struct guard_attempt){"SO_REUSEPORT", "leave the group of its port", none};
	case GUARD_DEVICE:
		return (struct guard_attempt){"SO_BINDTODEVICE", device, refused};
	case GUARD_IFINDEX:
		return (struct guard_attempt){"SO_BINDTOIFINDEX", device, refused};
	default:
		return (struct guard_attempt){"SO_DETACH_REUSEPORT_BPF", replace, none};
	}
}

static int guard_on_event(void *context, void *data, size_t size)
{
	const struct guard *guard = context;
	const struct guard_event *event = data;
	struct guard_attempt attempt = guard_describe(event->option);

	attempt.cgroup = event->cgroup;
	attempt.port = event->port;
	guard->on_attempt(&attempt, guard->data);
	return 0;
}

void guard_free(struct guard *guard)
{
	if (!guard)
		return;
	ring_buffer__free(guard->ring);
	guard_bpf__destroy(guard->skel);
	free(guard);
}

static void guard_cleanup(struct guard **guard)
{
	guard_free(*guard);
}

static int guard_load(struct guard *guard, int cgroup)
{
	_cleanup_cgroup_program_ struct cgroup_program_attached old = {0};
	int r = guard_bpf__load(guard->skel);

	if (r < 0)
		return r;
	guard->ring = ring_buffer__new(bpf_map__fd(guard->skel->maps.guard_events), guard_on_event,
	                               guard, NULL);
	if (!guard->ring)
		return -errno;
	r = cgroup_program_find(cgroup, &program, &old);
	return r < 0 ? r
	             : cgroup_program_attach(cgroup, &program,
	                                     bpf_program__fd(guard->skel->progs.rpd_guard), &old);
}

int guard_attach(int fd, const uint16_t *ports, size_t n, uint64_t key, struct guard **ret,
                 struct error *err)
{
	_cleanup_(guard_cleanup) struct guard *guard = calloc(1, sizeof(*guard));
	int r = -ENOMEM;

	if (guard)
		guard->skel = guard_bpf__open();
	if (guard && guard->skel) {
		guard->skel->rodata->n_ports = (uint32_t)n;
		guard->skel->rodata->key_low = (uint32_t)key;
		guard->skel->rodata->key_high = (uint32_t)(key >> 32);
		if (n)
			memcpy((void *)guard->skel->rodata->ports, ports, n * sizeof(*ports));
		r = guard_load(guard, fd);
	}
	if (r < 0)
		return error_set(err, r,
		                 "can't protect the steering program (cgroup/setsockopt): %s",
		                 strerror(-r));
	*ret = TAKE_PTR(guard);
	return 0;
}

int guard_fd(const struct guard *guard)
{
	return ring_buffer__epoll_fd(guard->ring);
}

void guard_read_attempts(struct guard *guard,
                         void (*on_attempt)(const struct guard_attempt *attempt, void *data),
                         void *data)
{
	guard->on_attempt = on_attempt;
	guard->data = data;
	ring_buffer__consume(guard->ring);
}

void guard_detach(int fd)
{
	cgroup_program_detach(fd, &program);
}
