/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/groups.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "group.skel.h"

#define GROUPS_PIN "groups"

/* Of all sockets (show_listener()), listeners come first, so small reads show few others. */
#define GROUPS_ROWS_AT_ONCE 128

void groups_init(struct groups *groups)
{
	groups->fd = -1;
}

void groups_close(struct groups *groups)
{
	cleanup_close(&groups->fd);
	groups_init(groups);
}

bool groups_is_pin(const char *name)
{
	return !strcmp(name, GROUPS_PIN);
}

bool groups_are_known(const struct groups *groups)
{
	return groups->fd >= 0;
}

static void groups_destroy_skel(struct group_bpf **skel)
{
	group_bpf__destroy(*skel);
}

static int groups_share_maps(struct group_bpf *skel, const struct steer *steer)
{
	int r = bpf_map__reuse_fd(skel->maps.members, steer->map_fd[STEER_MEMBERS]);

	if (r == 0)
		r = bpf_map__reuse_fd(skel->maps.ports, steer->map_fd[STEER_PORTS]);
	if (r == 0)
		r = bpf_map__reuse_fd(skel->maps.workers, steer->map_fd[STEER_WORKERS]);
	return r < 0 ? r : bpf_map__reuse_fd(skel->maps.marks, steer->map_fd[STEER_MARKS]);
}

static int groups_attach_iterator(struct group_bpf *skel, bool asked)
{
	union bpf_iter_link_info over = {.map.map_fd = (uint32_t)bpf_map__fd(skel->maps.marks)};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &over, .link_info_len = sizeof(over));

	skel->links.show_member = bpf_program__attach_iter(
	        asked ? skel->progs.show_served : skel->progs.show_member, &opts);
	return skel->links.show_member ? 0 : -errno;
}

/* @asked: whether the iterator shows if a listener is served. */
static int groups_load(struct groups *groups, const struct steer *steer, bool asked,
                       const char *path)
{
	_cleanup_(groups_destroy_skel) struct group_bpf *skel = group_bpf__open();
	_cleanup_close_ int fd = -1;
	int r = skel ? groups_share_maps(skel, steer) : -errno;

	if (r == 0)
		r = bpf_program__set_autoload(skel->progs.show_listener, false);
	if (r == 0)
		r = bpf_program__set_autoload(skel->progs.show_member, !asked);
	if (r == 0)
		r = bpf_program__set_autoload(skel->progs.show_served, asked);
	if (r == 0)
		r = group_bpf__load(skel);
	if (r == 0)
		r = groups_attach_iterator(skel, asked);
	if (r < 0)
		return r;
	fd = fcntl(bpf_link__fd(skel->links.show_member), F_DUPFD_CLOEXEC, 3);
	if (fd < 0 || bpf_obj_pin(fd, path) < 0)
		return -errno;
	groups->fd = TAKE_FD(fd);
	return 0;
}

void groups_attach(struct groups *groups, const struct steer *steer, const struct pins *pins)
{
	char path[PATH_MAX];

	pins_path(pins, GROUPS_PIN, path);
	if (groups_load(groups, steer, true, path) < 0)
		groups_load(groups, steer, false, path);
}

void groups_pin_missing(const struct groups *groups, const struct pins *pins)
{
	char path[PATH_MAX];

	if (groups->fd >= 0)
		bpf_obj_pin(groups->fd, pins_path(pins, GROUPS_PIN, path));
}

void groups_open(struct groups *groups, const struct pins *pins)
{
	char path[PATH_MAX];

	groups->fd = bpf_obj_get(pins_path(pins, GROUPS_PIN, path));
}

/* Reads the rows of the iterator up to the row that ends the list. */
static ssize_t groups_read_rows(int link, struct rpd_group_member *rows, size_t max)
{
	_cleanup_close_ int fd = bpf_iter_create(link);
	size_t n = 0;

	if (fd < 0)
		return -errno;
	while (n < max) {
		const size_t some = max - n < GROUPS_ROWS_AT_ONCE ? max - n : GROUPS_ROWS_AT_ONCE;
		ssize_t got = read(fd, rows + n, some * sizeof(*rows));

		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (got == 0)
			return n;
		for (ssize_t i = 0; i < got / (ssize_t)sizeof(*rows); i++, n++)
			if (!rows[n].cookie)
				return n;
	}
	return n;
}

static int groups_compare(const void *a, const void *b)
{
	const struct rpd_group_member *x = a, *y = b;

	return (x->cookie > y->cookie) - (x->cookie < y->cookie);
}

int groups_read(const struct groups *groups, struct rpd_group_member **ret, size_t *ret_n,
                struct error *err)
{
	size_t max = 2 * RPD_SLOT_MAX; /* enough for one pass in general */
	_cleanup_free_ struct rpd_group_member *rows = NULL;
	ssize_t n;

	if (groups->fd < 0)
		return error_set(err, -EOPNOTSUPP,
		                 "the program of its groups can't be seen: " GROUPS_NEEDS);
	for (;; max *= 2) {
		struct rpd_group_member *more = reallocarray(rows, max, sizeof(*rows));

		if (!more)
			return error_set(err, -ENOMEM, "out of memory");
		rows = more;
		n = groups_read_rows(groups->fd, rows, max);
		if (n < 0)
			return error_set(err, (int)n, "can't read the service's groups: %s",
			                 strerror(-(int)n));
		if ((size_t)n < max)
			break;
	}
	qsort(rows, n, sizeof(*rows), groups_compare);
	*ret_n = n;
	*ret = TAKE_PTR(rows);
	return 0;
}

const struct rpd_group_member *groups_find(const struct rpd_group_member *rows, size_t n,
                                           uint64_t cookie)
{
	const struct rpd_group_member key = {.cookie = cookie};

	return n ? bsearch(&key, rows, n, sizeof(key), groups_compare) : NULL;
}

static int groups_fill_maps(const struct group_bpf *skel, const struct listener *listeners,
                            size_t n)
{
	const int members = bpf_map__fd(skel->maps.members), ports = bpf_map__fd(skel->maps.ports);
	const struct rpd_member member = {};
	struct rpd_ports has = {};
	uint32_t zero = 0;

	for (size_t i = 0; i < n; i++) {
		const uint16_t port = listeners[i].endpoint.port;

		has.has[port / 64] |= 1ull << port % 64;
		if (bpf_map_update_elem(members, &listeners[i].cookie, &member, BPF_ANY) < 0)
			return -errno;
	}
	return bpf_map_update_elem(ports, &zero, &has, BPF_ANY) < 0 ? -errno : 0;
}

int groups_read_listeners(const struct listener *listeners, size_t n, struct rpd_group_member **ret,
                          size_t *ret_n)
{
	_cleanup_(groups_destroy_skel) struct group_bpf *skel = group_bpf__open();
	struct groups groups;
	struct error ignored;
	int r = skel ? bpf_program__set_autoload(skel->progs.show_member, false) : -errno;

	if (r == 0)
		r = bpf_map__set_autocreate(skel->maps.workers, false);
	if (r == 0)
		r = group_bpf__load(skel);
	if (r == 0)
		r = groups_fill_maps(skel, listeners, n);
	if (r == 0)
		r = group_bpf__attach(skel);
	if (r < 0)
		return r;
	groups.fd = bpf_link__fd(skel->links.show_listener);
	return groups_read(&groups, ret, ret_n, &ignored);
}
