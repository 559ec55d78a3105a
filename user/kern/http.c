/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "http.skel.h"
#include "kern/steer_maps.h"

/* The pins, made in this order and removed in the other. */
enum http_pin { PIN_RESPONSES, PIN_REQUESTS, PIN_IN, PIN_OUT, PIN_MAX };

/* The pin of a link that is to replace one of these. A killed command may leave it, until the next
 * move or the end of the service: what both links see counts once. */
#define NEXT "http-next"

static const char *const pin_names[PIN_MAX] = {
        [PIN_RESPONSES] = "responses",
        [PIN_REQUESTS] = "requests",
        [PIN_IN] = "http-in",
        [PIN_OUT] = "http-out",
};

static int *http_fd(struct http *http, enum http_pin pin)
{
	return pin < PIN_IN ? &http->map_fds[pin] : &http->link_fds[pin - PIN_IN];
}

void http_init(struct http *http)
{
	*http = (struct http){.map_fds = {-1, -1}, .link_fds = {-1, -1}};
	http_forget_full(http);
}

void http_close(struct http *http)
{
	for (unsigned int i = 0; i < PIN_MAX; i++)
		cleanup_close(http_fd(http, i));
	http_init(http);
}

bool http_is_pin(const char *name)
{
	for (unsigned int i = 0; i < PIN_MAX; i++)
		if (!strcmp(name, pin_names[i]))
			return true;
	return !strcmp(name, NEXT);
}

/* Whether the map is one that we can read. */
static bool http_has_layout(int fd, size_t size_of_row)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == BPF_MAP_TYPE_ARRAY &&
	       info.value_size == size_of_row;
}

void http_open(struct http *http, const struct pins *pins)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < PIN_MAX; i++) {
		char path[PATH_MAX];

		*http_fd(http, i) = bpf_obj_get(pins_path(pins, pin_names[i], path));
		n += *http_fd(http, i) >= 0;
	}
	if (n == PIN_MAX &&
	    http_has_layout(http->map_fds[PIN_RESPONSES], sizeof(struct rpd_responses)) &&
	    http_has_layout(http->map_fds[PIN_REQUESTS], sizeof(struct rpd_requests))) {
		http->counting = true;
		return;
	}
	http_close(http);
	http->half_made = n > 0;
}

static int http_pin_one(int fd, const struct pins *pins, enum http_pin which)
{
	char path[PATH_MAX];

	return bpf_obj_pin(fd, pins_path(pins, pin_names[which], path)) < 0 && errno != EEXIST
	               ? -errno
	               : 0;
}

int http_pin_missing(const struct http *http, const struct pins *pins)
{
	struct http copy = *http;
	int r = 0;

	for (unsigned int i = 0; r == 0 && http->counting && i < PIN_MAX; i++)
		r = http_pin_one(*http_fd(&copy, i), pins, i);
	return r;
}

static void http_unpin(const struct pins *pins)
{
	char next[PATH_MAX];

	for (int i = PIN_MAX - 1; i >= 0; i--) {
		char path[PATH_MAX];

		unlink(pins_path(pins, pin_names[i], path));
	}
	unlink(pins_path(pins, NEXT, next));
}

void http_detach(struct http *http, const struct pins *pins)
{
	http_unpin(pins);
	http_close(http);
}

static void http_destroy_skel(struct http_bpf **skel)
{
	http_bpf__destroy(*skel);
}

/* Keeps what the skeleton closes. */
static int http_duplicate(struct http *http, const struct http_bpf *skel)
{
	const int fds[PIN_MAX] = {
	        [PIN_RESPONSES] = bpf_map__fd(skel->maps.responses),
	        [PIN_REQUESTS] = bpf_map__fd(skel->maps.requests),
	        [PIN_IN] = bpf_link__fd(skel->links.rpd_http_in),
	        [PIN_OUT] = bpf_link__fd(skel->links.rpd_http_out),
	};

	for (unsigned int i = 0; i < PIN_MAX; i++) {
		int *fd = http_fd(http, i);

		*fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		if (*fd < 0)
			return -errno;
	}
	return 0;
}

static int http_load(struct http *http, const struct steer *steer, int cgroup)
{
	_cleanup_(http_destroy_skel) struct http_bpf *skel = http_bpf__open();
	int r = skel ? steer_maps_share(steer, skel->obj) : -errno;

	if (r < 0)
		return r;
	skel->rodata->conn_mask = bpf_map__max_entries(skel->maps.conns) - 1;
	r = http_bpf__load(skel);
	if (r < 0)
		return r;
	skel->links.rpd_http_in = bpf_program__attach_cgroup(skel->progs.rpd_http_in, cgroup);
	if (!skel->links.rpd_http_in)
		return -errno;
	skel->links.rpd_http_out = bpf_program__attach_cgroup(skel->progs.rpd_http_out, cgroup);
	if (!skel->links.rpd_http_out)
		return -errno;
	__atomic_store_n(&skel->data->attached_at,
	                 (uint64_t)clock_ns(CLOCK_MONOTONIC) >> RPD_TAG_TICK_LOG, __ATOMIC_RELEASE);
	return http_duplicate(http, skel);
}

static int http_explain(int code, struct error *err)
{
	return error_set(
	        err, code, "can't count HTTP responses (cgroup_skb): %s%s", strerror(-code),
	        code == -EPERM ? "\nthis needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: run as "
	                         "root; or the workers' cgroup, or one above it, has a program "
	                         "that allows no others (`bpftool cgroup tree` shows it)"
	                       : "");
}

int http_attach(struct http *http, const struct steer *steer, int cgroup, struct error *err)
{
	const int r = http_load(http, steer, cgroup);

	if (r < 0) {
		http_close(http);
		return http_explain(r, err);
	}
	http->counting = true;
	return 0;
}

/* The program of a link; a negative errno if it can't be opened. */
static int http_open_program(int link)
{
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);
	int fd = bpf_obj_get_info_by_fd(link, &info, &size);

	if (fd == 0)
		fd = bpf_prog_get_fd_by_id(info.prog_id);
	return fd < 0 ? -errno : fd;
}

static int http_move_link(int *link, int cgroup, enum bpf_attach_type type, const struct pins *pins,
                          enum http_pin pin)
{
	_cleanup_close_ int program = http_open_program(*link), moved = -1;
	char path[PATH_MAX], next[PATH_MAX];

	if (program < 0)
		return program;
	moved = bpf_link_create(program, cgroup, type, NULL);
	if (moved < 0)
		return -errno;
	unlink(pins_path(pins, NEXT, next));
	if (bpf_obj_pin(moved, next) < 0 || rename(next, pins_path(pins, pin_names[pin], path)) < 0)
		return -errno;
	close(*link);
	*link = TAKE_FD(moved);
	return 0;
}

int http_move(struct http *http, const struct pins *pins, int cgroup, struct error *err)
{
	int r = http_move_link(&http->link_fds[0], cgroup, BPF_CGROUP_INET_INGRESS, pins, PIN_IN);

	if (r == 0)
		r = http_move_link(&http->link_fds[1], cgroup, BPF_CGROUP_INET_EGRESS, pins,
		                   PIN_OUT);
	return r < 0 ? http_explain(r, err) : 0;
}

uint64_t http_cgroup(const struct http *http)
{
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(http->link_fds[0], &info, &size) == 0 ? info.cgroup.cgroup_id
	                                                                    : 0;
}

/* --- rows --- */

static int http_read(const struct http *http, enum http_pin map, uint32_t key, void *ret)
{
	return bpf_map_lookup_elem(http->map_fds[map], &key, ret) < 0 ? -errno : 0;
}

static int http_write(const struct http *http, enum http_pin map, uint32_t key, const void *value)
{
	return bpf_map_update_elem(http->map_fds[map], &key, value, BPF_ANY) < 0 ? -errno : 0;
}

int http_get_row(const struct http *http, uint32_t key, struct response_row *ret)
{
	const int r = http_read(http, PIN_REQUESTS, key, &ret->requests);

	if (r < 0)
		return r;
	return ret->requests.place
	               ? http_read(http, PIN_RESPONSES, ret->requests.place, &ret->responses)
	               : -ENOENT;
}

int http_take_row(struct http *http, uint32_t key, struct response_row *ret)
{
	const struct rpd_requests none = {};
	const int r = http_get_row(http, key, ret);

	if (r < 0)
		return r;
	if (http->last_place >= ret->requests.place)
		http->last_place = ret->requests.place - 1;
	http->free_at_most++;
	return http_write(http, PIN_REQUESTS, key, &none);
}

/* Reads what is at @place. Returns 1 if a row has it, 0 if none has it any more, -ENOENT if none
 * has had it yet, or another negative errno. */
static int http_read_place(const struct http *http, uint32_t place, struct response_row *ret)
{
	int r = http_read(http, PIN_RESPONSES, place, &ret->responses);

	if (r == 0)
		r = ret->responses.owner
		            ? http_read(http, PIN_REQUESTS, (uint32_t)ret->responses.owner - 1,
		                        &ret->requests)
		            : -ENOENT;
	return r < 0 ? r : ret->requests.place == place;
}

void http_forget_full(struct http *http)
{
	http->free_at_most = RESPONSE_PLACES - 1;
}

/* Finds a free place. The first ones are given first, so that those which no row has had are the
 * last ones. A search in vain is not repeated. */
static int http_find_place(struct http *http, uint32_t *ret)
{
	for (unsigned int i = 1; http->free_at_most && i < RESPONSE_PLACES; i++) {
		struct response_row row;
		int r;

		http->last_place = http->last_place % (RESPONSE_PLACES - 1) + 1;
		r = http_read_place(http, http->last_place, &row);
		if (r == 0 || r == -ENOENT) {
			*ret = http->last_place;
			http->free_at_most--;
			return 0;
		}
		if (r < 0)
			return r;
	}
	http->free_at_most = 0;
	return -ENOSPC;
}

/* The responses go first: a kill in between loses requests, rather than to count them without their
 * responses. */
int http_set_row(struct http *http, uint32_t key, const struct response_row *row)
{
	struct response_row new = *row;
	struct rpd_requests old;
	int r = http_read(http, PIN_REQUESTS, key, &old);

	if (r < 0)
		return r;
	new.requests.place = old.place;
	if (!old.place)
		r = http_find_place(http, &new.requests.place);
	new.responses.owner = key + 1;
	if (r == 0)
		r = http_write(http, PIN_RESPONSES, new.requests.place, &new.responses);
	return r < 0 ? r : http_write(http, PIN_REQUESTS, key, &new.requests);
}

/* The requests of an earlier row go first: they are none of the new one's. */
int http_make_row(struct http *http, uint32_t key, const char *label)
{
	struct response_row row;
	const int r = http_take_row(http, key, &row);

	if (r < 0 && r != -ENOENT)
		return r;
	row = (struct response_row){};
	strncpy(row.responses.label, label, sizeof(row.responses.label) - 1);
	return http_set_row(http, key, &row);
}

int http_next_row(const struct http *http, uint32_t *place, struct response_row *ret)
{
	int r = 0;

	while (r == 0)
		r = ++*place < RESPONSE_PLACES ? http_read_place(http, *place, ret) : -ENOENT;
	return r < 0 ? r : 0;
}
