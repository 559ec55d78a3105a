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
#include "kern/socket_iterator.h"
#include "kern/steer_maps.h"

#define GROUPS_PIN      "groups"
#define GROUPS_MARK_PIN "mark"

/* The kernel makes up to 32 KiB of rows in one read. */
#define GROUPS_ROWS_AT_ONCE (32768 / sizeof(struct rpd_group_member))

struct groups_rows {
	struct rpd_group_member *at;
	size_t n;
};

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
	return !strcmp(name, GROUPS_PIN) || !strcmp(name, GROUPS_MARK_PIN);
}

bool groups_are_known(const struct groups *groups)
{
	return groups->fd >= 0;
}

static void groups_destroy_skel(struct group_bpf **skel)
{
	group_bpf__destroy(*skel);
}

static int groups_attach_iterator(struct group_bpf *skel, bool asked)
{
	union bpf_iter_link_info over = {.map.map_fd = (uint32_t)bpf_map__fd(skel->maps.marks)};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &over, .link_info_len = sizeof(over));

	skel->links.show_member = bpf_program__attach_iter(
	        asked ? skel->progs.show_served : skel->progs.show_member, &opts);
	return skel->links.show_member ? 0 : -errno;
}

static int groups_keep(int fd, const struct pins *pins, const char *name, int *ret)
{
	_cleanup_close_ int kept = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	char path[PATH_MAX];

	if (kept < 0 || bpf_obj_pin(kept, pins_path(pins, name, path)) < 0)
		return -errno;
	*ret = TAKE_FD(kept);
	return 0;
}

static void groups_unpin_mark(struct steer *steer, const struct pins *pins)
{
	char path[PATH_MAX];

	cleanup_close(&steer->mark_fd);
	steer->mark_fd = -1;
	unlink(pins_path(pins, GROUPS_MARK_PIN, path));
}

/* @asked: whether the iterator shows if a listener is served. On failure nothing is pinned. */
static int groups_load(struct groups *groups, struct steer *steer, const struct pins *pins,
                       bool asked)
{
	_cleanup_(groups_destroy_skel) struct group_bpf *skel = group_bpf__open();
	/* With a buffer of ours, libbpf prints no log of a program that is refused. It reads the
	 * buffer also if the kernel has written no log. */
	char log[4096] = "";
	int r = skel ? steer_maps_share(steer, skel->obj) : -errno;

	if (r == 0)
		r = bpf_program__set_log_buf(skel->progs.show_served, log, sizeof(log));
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
	if (r == 0)
		r = groups_keep(bpf_program__fd(skel->progs.mark), pins, GROUPS_MARK_PIN,
		                &steer->mark_fd);
	if (r == 0)
		r = groups_keep(bpf_link__fd(skel->links.show_member), pins, GROUPS_PIN,
		                &groups->fd);
	if (r < 0 && steer->mark_fd >= 0)
		groups_unpin_mark(steer, pins);
	return r;
}

void groups_attach(struct groups *groups, struct steer *steer, const struct pins *pins)
{
	if (groups_load(groups, steer, pins, true) < 0)
		groups_load(groups, steer, pins, false);
}

void groups_pin_missing(const struct groups *groups, const struct steer *steer,
                        const struct pins *pins)
{
	char path[PATH_MAX];

	if (groups->fd >= 0)
		bpf_obj_pin(groups->fd, pins_path(pins, GROUPS_PIN, path));
	if (steer->mark_fd >= 0)
		bpf_obj_pin(steer->mark_fd, pins_path(pins, GROUPS_MARK_PIN, path));
}

void groups_open(struct groups *groups, struct steer *steer, const struct pins *pins)
{
	char path[PATH_MAX];

	cleanup_close(&groups->fd);
	cleanup_close(&steer->mark_fd);
	groups->fd = bpf_obj_get(pins_path(pins, GROUPS_PIN, path));
	steer->mark_fd = bpf_obj_get(pins_path(pins, GROUPS_MARK_PIN, path));
}

/* Adds the rows of the iterator, up to the one that ends the list. Returns 0 or a negative errno.
 */
static int groups_add_rows(int link, struct groups_rows *rows)
{
	_cleanup_close_ int fd = bpf_iter_create(link);

	if (fd < 0)
		return -errno;
	for (;;) {
		struct rpd_group_member *more =
		        reallocarray(rows->at, rows->n + GROUPS_ROWS_AT_ONCE, sizeof(*more));
		ssize_t got;

		if (!more)
			return -ENOMEM;
		rows->at = more;
		got = read(fd, more + rows->n, GROUPS_ROWS_AT_ONCE * sizeof(*more));
		if (got <= 0)
			return got < 0 ? -errno : 0;
		for (size_t n = (size_t)got / sizeof(*more); n; n--, rows->n++)
			if (!more[rows->n].cookie)
				return 0;
	}
}

static int groups_compare(const void *a, const void *b)
{
	const struct rpd_group_member *x = a, *y = b;

	return (x->cookie > y->cookie) - (x->cookie < y->cookie);
}

int groups_read(const struct groups *groups, struct rpd_group_member **ret, size_t *ret_n,
                struct error *err)
{
	struct groups_rows rows = {};
	int r;

	if (groups->fd < 0)
		return error_set(err, -EOPNOTSUPP,
		                 "the program of its groups can't be seen: " GROUPS_NEEDS);
	r = groups_add_rows(groups->fd, &rows);
	if (r < 0) {
		free(rows.at);
		return error_set(err, r, "can't read the service's groups: %s", strerror(-r));
	}
	qsort(rows.at, rows.n, sizeof(*rows.at), groups_compare);
	*ret = rows.at;
	*ret_n = rows.n;
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
	struct error ignored;
	int r = skel ? bpf_program__set_autoload(skel->progs.show_member, false) : -errno;

	if (r == 0)
		r = bpf_program__set_autoload(skel->progs.mark, false);
	if (r == 0)
		r = bpf_map__set_autocreate(skel->maps.workers, false);
	if (r == 0)
		r = group_bpf__load(skel);
	if (r == 0)
		r = groups_fill_maps(skel, listeners, n);
	if (r == 0)
		r = group_bpf__attach(skel);
	if (r == 0)
		r = socket_iterator_read(bpf_link__fd(skel->links.show_listener), sizeof(**ret),
		                         ret, ret_n, &ignored);
	return r;
}
