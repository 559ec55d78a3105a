/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/hook.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <reuseportd/hook_abi.h>

#include "base/cleanup.h"
#include "hook.skel.h"
#include "kern/cgroup_program.h"
#include "kern/kernel_member.h"

enum {
	PROGRAM_BIND4,
	PROGRAM_BIND6,
	PROGRAM_LISTEN,
	PROGRAM_RELEASE,
	PROGRAM_NAME4,
	PROGRAM_NAME6,
	PROGRAM_MAX
};

/* How many reports are read at once. */
#define READ_MAX 512

static const struct cgroup_program programs[PROGRAM_MAX] = {
        [PROGRAM_BIND4] = {BPF_CGROUP_INET4_BIND, "rpd_bind4"},
        [PROGRAM_BIND6] = {BPF_CGROUP_INET6_BIND, "rpd_bind6"},
        [PROGRAM_LISTEN] = {BPF_CGROUP_SOCK_OPS, "rpd_listen"},
        [PROGRAM_RELEASE] = {BPF_CGROUP_INET_SOCK_RELEASE, "rpd_release"},
        [PROGRAM_NAME4] = {BPF_CGROUP_INET4_GETSOCKNAME, "rpd_name4"},
        [PROGRAM_NAME6] = {BPF_CGROUP_INET6_GETSOCKNAME, "rpd_name6"},
};

struct hook {
	struct hook_bpf *skel;
	struct ring_buffer *ring;
	uint64_t n_lost;     /* lost reports that the caller knows about */
	unsigned int n_read; /* by the current call of hook_read_listens() */
	void (*on_listen)(const struct hook_listen *listen, void *data);
	void *data;
};

/* --- the maps of an earlier supervisor --- */

/* Uses the existing map @fd for @map, if they have the same name and shape. */
static int hook_reuse_map(struct bpf_map *map, int fd)
{
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
		return -errno;
	if (strcmp(info.name, bpf_map__name(map)) != 0 || info.type != bpf_map__type(map) ||
	    info.key_size != bpf_map__key_size(map) ||
	    info.value_size != bpf_map__value_size(map) ||
	    info.map_flags != bpf_map__map_flags(map))
		return 0;
	return bpf_map__reuse_fd(map, fd);
}

/*
 * Uses the maps of the earlier programs. So a socket that was bound before and listens after is
 * known, and listeners from the time without a supervisor are still reported.
 */
static int hook_reuse_maps(struct hook_bpf *skel, int program_fd)
{
	struct bpf_map *const maps[] = {skel->maps.hook_bound,  skel->maps.hook_reports,
	                                skel->maps.hook_served, skel->maps.hook_private,
	                                skel->maps.hook_locks,  skel->maps.bss};
	uint32_t ids[16];
	struct bpf_prog_info info = {.nr_map_ids = ARRAY_SIZE(ids), .map_ids = (uintptr_t)ids};
	uint32_t size = sizeof(info);
	int r = 0;

	if (bpf_obj_get_info_by_fd(program_fd, &info, &size) < 0)
		return -errno;
	for (uint32_t i = 0; i < info.nr_map_ids && i < ARRAY_SIZE(ids); i++) {
		_cleanup_close_ int fd = bpf_map_get_fd_by_id(ids[i]);

		if (fd < 0)
			return -errno;
		for (size_t m = 0; m < ARRAY_SIZE(maps) && r == 0; m++)
			r = hook_reuse_map(maps[m], fd);
	}
	return r;
}

/* --- attaching --- */

static int hook_attach_programs(const struct hook_bpf *skel, int cgroup,
                                const struct cgroup_program_attached old[PROGRAM_MAX])
{
	const int fds[PROGRAM_MAX] = {
	        [PROGRAM_BIND4] = bpf_program__fd(skel->progs.rpd_bind4),
	        [PROGRAM_BIND6] = bpf_program__fd(skel->progs.rpd_bind6),
	        [PROGRAM_LISTEN] = bpf_program__fd(skel->progs.rpd_listen),
	        [PROGRAM_RELEASE] = bpf_program__fd(skel->progs.rpd_release),
	        [PROGRAM_NAME4] = bpf_program__fd(skel->progs.rpd_name4),
	        [PROGRAM_NAME6] = bpf_program__fd(skel->progs.rpd_name6),
	};
	int r = 0;

	for (unsigned int i = 0; i < PROGRAM_MAX && r == 0; i++)
		if (fds[i] >= 0) /* it is loaded */
			r = cgroup_program_attach(cgroup, &programs[i], fds[i], &old[i]);
	/* A program that has replaced another stays: it is equivalent. */
	for (unsigned int i = 0; i < PROGRAM_MAX && r < 0; i++)
		if (!old[i].n && fds[i] >= 0)
			bpf_prog_detach2(fds[i], cgroup, programs[i].type);
	return r;
}

static struct rpd_endpoint hook_endpoint_of(const struct hook_address *address)
{
	struct rpd_endpoint e = {
	        .family = address->family, .port = address->port, .ifindex = address->ifindex};

	memcpy(e.addr, address->addr, sizeof(e.addr));
	return e;
}

/* libbpf counts the report as read, and stops if the result is negative. */
static int hook_on_event(void *context, void *data, size_t size)
{
	struct hook *hook = context;
	const struct hook_event *event = data;
	struct hook_listen listen;

	if (size < sizeof(*event))
		return 0;
	listen = (struct hook_listen){
	        .cgroup = event->cgroup,
	        .cookie = event->cookie,
	        .port = event->port,
	        .refused = event->refused,
	        .held = event->held,
	};
	if (event->held)
		listen.asked = hook_endpoint_of(&event->asked);
	hook->on_listen(&listen, hook->data);
	return ++hook->n_read < READ_MAX ? 0 : -EAGAIN;
}

static int hook_explain(int code, const char *what, struct error *err)
{
	return error_set(err, code, "can't %s: %s%s", what, strerror(-code),
	                 code == -EPERM ? "\nsharing ports between programs needs CAP_BPF, "
	                                  "CAP_NET_ADMIN, and CAP_SYS_ADMIN to replace what an "
	                                  "earlier reuseportd left: run as root"
	                                : "");
}

static int hook_load_and_attach(struct hook *hook, int cgroup,
                                const struct cgroup_program_attached old[PROGRAM_MAX],
                                struct error *err)
{
	struct hook_bpf *skel = hook->skel;
	int r = 0;

	if (old[PROGRAM_BIND4].n) /* it uses all maps */
		r = hook_reuse_maps(skel, old[PROGRAM_BIND4].fds[0]);
	if (r < 0)
		return hook_explain(r, "take over the BPF maps of the service's cgroup", err);
	r = hook_bpf__load(skel);
	if (r < 0)
		return hook_explain(r, "load the programs that share ports (cgroup/bind4)", err);
	hook->ring =
	        ring_buffer__new(bpf_map__fd(skel->maps.hook_reports), hook_on_event, hook, NULL);
	if (!hook->ring)
		return hook_explain(-errno, "read BPF events", err);
	r = hook_attach_programs(skel, cgroup, old);
	return r < 0 ? hook_explain(r,
	                            "attach the programs that share ports to the service's cgroup",
	                            err)
	             : 0;
}

void hook_free(struct hook *hook)
{
	if (!hook)
		return;
	ring_buffer__free(hook->ring);
	hook_bpf__destroy(hook->skel);
	free(hook);
}

static void hook_probe_kernel(struct hook_bpf__rodata *knows)
{
	struct btf *btf = btf__load_vmlinux_btf();
	uint32_t v6only = 0;

	if (btf) {
		knows->is_mptcp_at = kernel_member_find(btf, "tcp_sock", "is_mptcp") / 8;
		v6only = kernel_member_find(btf, "sock_common", "skc_ipv6only");
	}
	btf__free(btf);
	knows->v6only_at = v6only / 8;
	/* Bit fields are counted from the other end on a big-endian machine. */
	knows->v6only_bit = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v6only % 8 : 7 - v6only % 8;
	knows->has_retval = libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
	                                            BPF_FUNC_set_retval, NULL) == 1;
}

static void hook_cleanup(struct hook **hook)
{
	hook_free(*hook);
}

int hook_attach(int fd, const uint16_t *ports, size_t n, struct hook **ret, struct error *err)
{
	_cleanup_(hook_cleanup) struct hook *hook = calloc(1, sizeof(*hook));
	struct cgroup_program_attached old[PROGRAM_MAX] = {0};
	int r = 0;

	if (n > HOOK_PORTS_MAX)
		return error_usage(err, "%zu ports to share are too many: %d is the most", n,
		                   HOOK_PORTS_MAX);
	if (hook)
		hook->skel = hook_bpf__open();
	if (!hook || !hook->skel)
		return hook_explain(-errno, "open the programs that share ports", err);
	hook->skel->rodata->n_ports = (uint32_t)n;
	hook_probe_kernel(hook->skel->rodata);
	bpf_program__set_autoload(hook->skel->progs.rpd_release, n == 0);
	if (n)
		memcpy((void *)hook->skel->rodata->ports, ports, n * sizeof(*ports));
	for (unsigned int i = 0; i < PROGRAM_MAX && r == 0; i++)
		r = cgroup_program_find(fd, &programs[i], &old[i]);
	if (r < 0)
		hook_explain(r, "list the programs of the service's cgroup", err);
	else
		r = hook_load_and_attach(hook, fd, old, err);
	for (unsigned int i = 0; i < PROGRAM_MAX; i++)
		cgroup_program_close(&old[i]);
	if (r == 0)
		*ret = TAKE_PTR(hook);
	return r;
}

int hook_fd(const struct hook *hook)
{
	return ring_buffer__epoll_fd(hook->ring);
}

int hook_read_listens(struct hook *hook,
                      void (*on_listen)(const struct hook_listen *listen, void *data), void *data)
{
	uint64_t n_lost;
	bool more_lost;

	hook->on_listen = on_listen;
	hook->data = data;
	hook->n_read = 0;
	ring_buffer__consume(hook->ring);
	n_lost = __atomic_load_n(&hook->skel->bss->n_lost, __ATOMIC_RELAXED);
	more_lost = n_lost != hook->n_lost;
	hook->n_lost = n_lost;
	return more_lost ? HOOK_LOST : HOOK_READ;
}

/* --- sets of addresses */

struct hook_set_entry {
	struct hook_address address;
	uint32_t flags;
};

/* At most this many entries for an endpoint: itself, its port, and on some device. */
#define HOOK_SET_ENTRIES 3

static struct hook_address hook_address_of(const struct rpd_endpoint *e)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct hook_address address = {.port = e->port, .family = e->family, .ifindex = e->ifindex};

	memcpy(address.addr, e->addr, sizeof(address.addr));
	if (e->family == AF_INET6 && !memcmp(e->addr, mapped, sizeof(mapped))) {
		address.family = AF_INET;
		memset(address.addr, 0, sizeof(address.addr));
		memcpy(address.addr, e->addr + sizeof(mapped), sizeof(e->addr) - sizeof(mapped));
	}
	return address;
}

static size_t hook_set_add(struct hook_set_entry *set, size_t n, const struct hook_address *address,
                           uint32_t flags)
{
	for (size_t i = 0; i < n; i++)
		if (!memcmp(&set[i].address, address, sizeof(*address))) {
			set[i].flags |= flags;
			return n;
		}
	set[n] = (struct hook_set_entry){*address, flags};
	return n + 1;
}

static bool hook_set_has(const struct hook_set_entry *set, size_t n,
                         const struct hook_address *address)
{
	for (size_t i = 0; i < n; i++)
		if (!memcmp(&set[i].address, address, sizeof(*address)))
			return true;
	return false;
}

/* Makes the map have exactly the entries of the set. Returns 0 or a negative errno. */
static int hook_set_write(int map, const struct hook_set_entry *set, size_t n)
{
	struct hook_address old[HOOK_ADDRESSES_MAX];
	const struct hook_address *last = NULL;
	size_t n_old = 0;

	for (size_t i = 0; i < n; i++)
		if (bpf_map_update_elem(map, &set[i].address, &set[i].flags, BPF_ANY) < 0)
			return -errno;
	while (n_old < HOOK_ADDRESSES_MAX && bpf_map_get_next_key(map, last, &old[n_old]) == 0)
		last = &old[n_old++];
	for (size_t i = 0; i < n_old; i++)
		if (!hook_set_has(set, n, &old[i]))
			bpf_map_delete_elem(map, &old[i]);
	return 0;
}

static size_t hook_set_add_served(struct hook_set_entry *set, size_t n,
                                  const struct rpd_endpoint *e)
{
	struct hook_address address = hook_address_of(e);
	const uint32_t flags = HOOK_SERVED |
	                       (address.family == AF_INET6 && !e->v6only ? HOOK_DUAL : 0) |
	                       (address.family == e->family ? HOOK_PLAIN : 0);
	const struct hook_address port = {.port = e->port};

	n = hook_set_add(set, n, &address, flags);
	n = hook_set_add(set, n, &port, HOOK_SERVED);
	if (!e->ifindex)
		return n;
	address.ifindex = HOOK_SOME_DEVICE;
	return hook_set_add(set, n, &address, flags);
}

int hook_set_served(struct hook *hook, const struct rpd_endpoint *list, size_t n, struct error *err)
{
	struct hook_set_entry set[HOOK_SET_ENTRIES * RPD_ENDPOINT_MAX];
	size_t n_entries = 0;
	int r;

	for (size_t i = 0; i < n && i < RPD_ENDPOINT_MAX; i++)
		if (list[i].family)
			n_entries = hook_set_add_served(set, n_entries, &list[i]);
	r = hook_set_write(bpf_map__fd(hook->skel->maps.hook_served), set, n_entries);
	return r < 0 ? hook_explain(r, "record which addresses are served", err) : 0;
}

int hook_set_private(struct hook *hook, const struct rpd_endpoint *list, size_t n,
                     struct error *err)
{
	struct hook_set_entry set[HOOK_ADDRESSES_MAX];
	size_t n_entries = 0;
	int r;

	for (size_t i = 0; i < n && i < HOOK_ADDRESSES_MAX; i++) {
		const struct hook_address address = hook_address_of(&list[i]);

		n_entries = hook_set_add(set, n_entries, &address, HOOK_SERVED);
	}
	r = hook_set_write(bpf_map__fd(hook->skel->maps.hook_private), set, n_entries);
	return r < 0 ? hook_explain(r, "record which addresses are not shared", err) : 0;
}

void hook_detach(int fd)
{
	for (unsigned int i = 0; i < PROGRAM_MAX; i++)
		cgroup_program_detach(fd, &programs[i]);
}
