/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/listen_events.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "kern/mounts.h"
#include "listen.skel.h"

struct listen_events {
	struct listen_bpf *skel;
	struct ring_buffer *ring;
};

void listen_events_free(struct listen_events *events)
{
	if (!events)
		return;
	ring_buffer__free(events->ring);
	listen_bpf__destroy(events->skel);
	free(events);
}

static void listen_events_cleanup(struct listen_events **events)
{
	listen_events_free(*events);
}

/* An event carries nothing but that it happened. */
static int listen_events_ignore(void *context, void *data, size_t size)
{
	return 0;
}

int listen_events_new(uint16_t port, struct listen_events **ret, struct error *err)
{
	_cleanup_(listen_events_cleanup) struct listen_events *events = calloc(1, sizeof(*events));
	_cleanup_close_ int cgroup = -1;
	char path[PATH_MAX];
	int r = events ? mounts_require_cgroup2(path, sizeof(path), err)
	               : error_set(err, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	events->skel = listen_bpf__open();
	if (cgroup < 0 || !events->skel)
		return error_set(err, -errno, "can't watch for listen(): %s", strerror(errno));
	events->skel->rodata->listen_port = port;
	r = listen_bpf__load(events->skel);
	if (r < 0)
		return error_set(err, r, "the kernel refused the listen program: %s%s",
		                 strerror(-r), r == -EPERM ? "; watching needs CAP_NET_ADMIN" : "");
	events->skel->links.on_listen =
	        bpf_program__attach_cgroup(events->skel->progs.on_listen, cgroup);
	if (!events->skel->links.on_listen)
		return error_set(err, -errno, "can't attach to %s: %s", path, strerror(errno));
	events->ring = ring_buffer__new(bpf_map__fd(events->skel->maps.listen_events),
	                                listen_events_ignore, NULL, NULL);
	if (!events->ring)
		return error_set(err, -errno, "can't read BPF events: %s", strerror(errno));
	*ret = TAKE_PTR(events);
	return 0;
}

int listen_events_fd(const struct listen_events *events)
{
	return ring_buffer__epoll_fd(events->ring);
}

void listen_events_drain(struct listen_events *events)
{
	ring_buffer__consume(events->ring);
}
