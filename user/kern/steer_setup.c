/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "core/schedule.h"
#include "kern/conn_table.h"
#include "kern/steer_maps.h"
#include "kern/steer_members.h"
#include "kern/steer_queues.h"
#include "kern/steer_workers.h"
#include "steer.skel.h"

static int steer_setup_pin(int fd, const struct pins *pins, const char *name, struct error *err)
{
	char path[PATH_MAX];

	if (bpf_obj_pin(fd, pins_path(pins, name, path)) < 0)
		return error_set(err, -errno, "can't pin %s: %s", path, strerror(errno));
	return 0;
}

static void steer_setup_destroy_skel(struct steer_bpf **skel)
{
	steer_bpf__destroy(*skel);
}

/* Sets the size of the table of connections, for a new table or as it exists. */
static int steer_setup_size_conns(const struct steer *steer, struct steer_bpf *skel,
                                  uint32_t max_conns)
{
	int r = 0;

	if (steer->map_fd[STEER_CONNS] < 0)
		r = conn_table_set_size(skel->maps.conns, skel->maps.conns_more, max_conns);
	if (r == 0)
		skel->rodata->conn_mask = bpf_map__max_entries(skel->maps.conns) - 1;
	return r;
}

/* Keeps and pins the maps that loading has made. */
static int steer_setup_keep_maps(struct steer *steer, const struct pins *pins,
                                 struct steer_bpf *skel, struct error *err)
{
	int r;

	for (unsigned int i = 0; i < STEER_MAP_MAX; i++) {
		int fd = bpf_object__find_map_fd_by_name(skel->obj, steer_maps_kind(i)->name);

		steer->map_fd[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (steer->map_fd[i] < 0)
			return error_set(err, -errno, "can't keep a BPF map: %s", strerror(errno));
	}
	r = steer_maps_mmap_all(steer, err);
	if (r < 0)
		return r;
	steer->service->magic = RPD_MAGIC;
	steer->service->abi = RPD_ABI_VERSION;
	steer->service->stage = RPD_STAGE_FILLING;
	schedule_init(&steer->schedules[0]);
	for (unsigned int i = 0; i < STEER_MAP_MAX && r == 0; i++)
		r = steer_setup_pin(steer->map_fd[i], pins, steer_maps_kind(i)->name, err);
	return r;
}

/* Moves the spare program to the endpoint, and pins it with its maps. */
static int steer_setup_keep_endpoint(struct steer *steer, const struct pins *pins,
                                     unsigned int index, struct error *err)
{
	struct steer_endpoint *it = &steer->endpoints[index];
	char name[STEER_MAPS_PIN_MAX];
	int r = 0;

	*it = steer->spare;
	steer->spare = STEER_MAPS_NO_ENDPOINT;
	for (unsigned int pin = 0; r == 0 && pin < STEER_PIN_MAX; pin++)
		r = steer_setup_pin(steer_maps_pin_fd(it, pin), pins,
		                    steer_maps_pin_name(pin, index, name), err);
	return r;
}

/* Whether the folder has the first pin of another service. */
static bool steer_setup_is_taken(const struct steer *steer, const struct pins *pins)
{
	struct bpf_map_info ours = {}, pinned = {};
	uint32_t size = sizeof(ours);
	char path[PATH_MAX];
	_cleanup_close_ int fd = bpf_obj_get(pins_path(pins, STEER_FIRST_PIN, path));

	return fd >= 0 && (bpf_obj_get_info_by_fd(fd, &pinned, &size) < 0 ||
	                   bpf_obj_get_info_by_fd(steer->map_fd[STEER_SERVICE], &ours, &size) < 0 ||
	                   ours.id != pinned.id);
}

static int steer_setup_pin_if_missing(int fd, const struct pins *pins, const char *name,
                                      struct error *err)
{
	char path[PATH_MAX];

	return access(pins_path(pins, name, path), F_OK) == 0
	               ? 0
	               : steer_setup_pin(fd, pins, name, err);
}

int steer_setup_pin_missing(const struct steer *steer, const struct pins *pins, struct error *err)
{
	int r = 0;

	if (steer_setup_is_taken(steer, pins))
		return error_set(err, -EEXIST, "%s has the pins of another service", pins->path);
	for (unsigned int i = 0; r == 0 && i < STEER_MAP_MAX; i++)
		r = steer_setup_pin_if_missing(steer->map_fd[i], pins, steer_maps_kind(i)->name,
		                               err);
	for (unsigned int i = 0; r == 0 && i < steer->service->n_endpoints; i++) {
		char name[STEER_MAPS_PIN_MAX];

		for (unsigned int pin = 0;
		     r == 0 && steer_has_endpoint(steer, i) && pin < STEER_PIN_MAX; pin++)
			r = steer_setup_pin_if_missing(steer_maps_pin_fd(&steer->endpoints[i], pin),
			                               pins, steer_maps_pin_name(pin, i, name),
			                               err);
	}
	return r;
}

/* Loads the program, with the service's maps as far as they exist. Without @program it only makes
 * the maps. */
static int steer_setup_load(const struct steer *steer, bool program, uint32_t max_conns,
                            struct steer_bpf **ret, struct error *err)
{
	_cleanup_(steer_setup_destroy_skel) struct steer_bpf *skel = NULL;
	struct rpd_members_at at = {};
	int r;

	if (program && !steer_queues_find_members(&at))
		steer->service->flags |= RPD_SERVICE_BLIND;
	skel = steer_bpf__open();
	if (!skel)
		return error_set(err, -errno, "can't open the steering program: %s",
		                 strerror(errno));
	bpf_program__set_autoload(skel->progs.steer, program);
	r = steer_maps_share(steer, skel->obj);
	if (r == 0)
		r = steer_setup_size_conns(steer, skel, max_conns);
	skel->rodata->kernel_at = at;
	if (r == 0)
		r = steer_bpf__load(skel);
	/* libbpf keeps what it has found out about the kernel. If it has lacked memory for that,
	 * each load of this process fails from then on. */
	if (r == -EFAULT)
		memory_check(-ENOMEM);
	if (r < 0)
		return error_set(err, r,
		                 "the kernel refused the steering program: %s\n"
		                 "`reuseportd doctor` shows what the kernel lacks",
		                 strerror(-r));
	*ret = TAKE_PTR(skel);
	return 0;
}

/* Loads the spare program, unless there is one. */
static int steer_setup_load_spare(struct steer *steer, uint32_t max_conns, struct error *err)
{
	_cleanup_(steer_setup_destroy_skel) struct steer_bpf *skel = NULL;
	struct steer_endpoint *spare = &steer->spare;
	int r;

	if (spare->prog_fd >= 0)
		return 0;
	r = steer_setup_load(steer, true, max_conns, &skel, err);
	if (r < 0)
		return r;
	steer_maps_close_endpoint(spare); /* what a failure has left */
	spare->socks_fd = fcntl(bpf_map__fd(skel->maps.socks), F_DUPFD_CLOEXEC, 3);
	spare->queues_fd = fcntl(bpf_map__fd(skel->maps.queues), F_DUPFD_CLOEXEC, 3);
	if (spare->socks_fd >= 0 && spare->queues_fd >= 0)
		spare->prog_fd = fcntl(bpf_program__fd(skel->progs.steer), F_DUPFD_CLOEXEC, 3);
	return spare->prog_fd >= 0
	               ? 0
	               : error_set(err, -errno, "can't keep a BPF program: %s", strerror(errno));
}

int steer_setup_prepare(struct steer *steer, struct error *err)
{
	return steer_setup_load_spare(steer, 0, err);
}

int steer_setup_maps(struct steer *steer, const struct pins *pins, uint32_t max_conns,
                     struct error *err)
{
	_cleanup_(steer_setup_destroy_skel) struct steer_bpf *skel = NULL;
	int r = steer_setup_load(steer, false, max_conns, &skel, err);

	return r < 0 ? r : steer_setup_keep_maps(steer, pins, skel, err);
}

static void steer_setup_unpin_endpoint(const struct pins *pins, unsigned int index)
{
	char name[STEER_MAPS_PIN_MAX], path[PATH_MAX];

	for (unsigned int pin = 0; pin < STEER_PIN_MAX; pin++)
		unlink(pins_path(pins, steer_maps_pin_name(pin, index, name), path));
}

static void steer_setup_trim_entries(struct steer *steer)
{
	unsigned int n = steer->service->n_endpoints;

	while (n && !steer_has_endpoint(steer, n - 1))
		n--;
	__atomic_store_n(&steer->service->n_endpoints, n, __ATOMIC_RELEASE);
}

/* While pins are made or removed, the entry is free, and it is at most the one after the last that
 * is in use. */
void steer_setup_remove_half_made(struct steer *steer, const struct pins *pins)
{
	const unsigned int last = steer->service->n_endpoints;

	for (unsigned int i = 0; i <= last && i < RPD_ENDPOINT_MAX; i++)
		if (!steer_has_endpoint(steer, i))
			steer_setup_unpin_endpoint(pins, i);
	steer_setup_trim_entries(steer);
}

/* After a kill, before the service has the endpoint, the counting program examines connections of
 * the port in vain. */
static int steer_setup_note_port(const struct steer *steer, uint16_t port)
{
	struct rpd_ports ports;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(steer->map_fd[STEER_PORTS], &zero, &ports) < 0)
		return -errno;
	ports.has[port / 64] |= 1ull << port % 64;
	return bpf_map_update_elem(steer->map_fd[STEER_PORTS], &zero, &ports, BPF_ANY) < 0 ? -errno
	                                                                                   : 0;
}

/* Listeners of the endpoint that had the entry before may still be open, and be members. */
static int steer_setup_forget_members(struct steer *steer, unsigned int index)
{
	_cleanup_steer_members_ struct steer_members members;
	int r = steer_members_list(steer, &members);

	for (size_t i = 0; r == 0 && i < members.n; i++) {
		struct steer_member *it = &members.list[i];

		if (it->row.endpoint != index)
			continue;
		it->row.endpoint = RPD_NO_ENDPOINT;
		r = steer_members_set(steer, it->cookie, &it->row);
	}
	return r;
}

/* Does the same for the rows of the workers that had a listener there. */
static int steer_setup_forget_cookies(struct steer *steer, unsigned int index)
{
	int r = 0;

	for (unsigned int slot = 0; r == 0 && slot < steer_schedule(steer)->n_slots; slot++) {
		struct rpd_worker worker;

		r = steer_workers_get(steer, slot, &worker);
		if (r < 0 || !worker.cookies[index])
			continue;
		worker.cookies[index] = 0;
		r = steer_workers_set(steer, slot, &worker);
	}
	return r;
}

/* The first free entry, without what is left of the endpoint that had it before. */
static int steer_setup_find_entry(struct steer *steer, struct error *err)
{
	unsigned int index = 0;
	int r = 0;

	while (steer_has_endpoint(steer, index))
		index++;
	if (index >= RPD_ENDPOINT_MAX)
		return error_set(err, -ENOSPC, "a service has at most %d endpoints",
		                 RPD_ENDPOINT_MAX);
	if (steer->service->endpoints[index].port) /* it was in use */
		r = steer_setup_forget_members(steer, index);
	if (r == 0 && steer->service->endpoints[index].port)
		r = steer_setup_forget_cookies(steer, index);
	if (r < 0)
		return error_set(err, r, "can't free an endpoint: %s", strerror(-r));
	return index;
}

/* The family is written last: it shows that the entry is in use. */
static void steer_setup_fill_entry(struct steer *steer, unsigned int index,
                                   const struct rpd_endpoint *endpoint)
{
	struct rpd_service *info = steer->service;
	struct rpd_endpoint *entry = &info->endpoints[index];
	const uint8_t family = endpoint->family;

	*entry = *endpoint;
	entry->family = 0;
	if (index >= info->n_endpoints)
		__atomic_store_n(&info->n_endpoints, index + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&entry->family, family, __ATOMIC_RELEASE);
	info->endpoint_changes++;
}

int steer_setup_add_endpoint(struct steer *steer, const struct pins *pins,
                             const struct rpd_endpoint *endpoint, uint32_t max_conns,
                             struct error *err)
{
	int r = steer->service ? 0 : steer_setup_maps(steer, pins, max_conns, err);
	int index;

	if (r < 0)
		return r;
	index = steer_setup_find_entry(steer, err);
	if (index < 0)
		return index;
	r = steer_setup_load_spare(steer, max_conns, err);
	if (r == 0)
		r = steer_setup_keep_endpoint(steer, pins, index, err);
	if (r == 0 && steer_setup_note_port(steer, endpoint->port) < 0)
		r = error_set(err, -EIO, "can't store port %u in map \"ports\"", endpoint->port);
	if (r < 0) {
		steer_maps_close_endpoint(&steer->endpoints[index]);
		steer_setup_unpin_endpoint(pins, index);
		return r;
	}
	steer_setup_fill_entry(steer, index, endpoint);
	return index;
}

/* Its port stays in map "ports": connections of the port may still be open, and are counted until
 * they close. The map only decides what the counting program examines. */
void steer_setup_remove_endpoint(struct steer *steer, const struct pins *pins, unsigned int index)
{
	__atomic_store_n(&steer->service->endpoints[index].family, 0, __ATOMIC_RELEASE);
	steer->service->endpoint_changes++;
	steer_setup_forget_cookies(steer, index); /* if it fails, the next endpoint there does it */
	steer_queues_forget_endpoint(steer, index);
	steer_maps_close_endpoint(&steer->endpoints[index]);
	steer_setup_unpin_endpoint(pins, index);
	steer_setup_trim_entries(steer);
}
