/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_maps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include <reuseportd/ignored_abi.h>

static const struct steer_map_kind kinds[STEER_MAP_MAX] = {
        [STEER_SERVICE] = {STEER_FIRST_PIN, BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_service), 1},
        [STEER_CONTROL] = {"control", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_control), 1},
        [STEER_SCHEDULES] = {"schedules", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_schedule), 2},
        [STEER_COUNTERS] = {"counters", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct rpd_tally),
                            RPD_OUTCOME_MAX},
        [STEER_MEMBERS] = {"members", BPF_MAP_TYPE_HASH, sizeof(struct rpd_member), 0},
        [STEER_MARKS] = {"marks", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_mark), RPD_MEMBER_MAX},
        [STEER_WORKERS] = {"workers", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_worker), RPD_CELL_MAX},
        [STEER_ACCOUNTS] = {"accounts", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct rpd_account),
                            RPD_ACCOUNT_MAX},
        [STEER_CONNS] = {"conns", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_conns), 0},
        [STEER_CONNS_MORE] = {"conns_more", BPF_MAP_TYPE_HASH, sizeof(uint64_t), 0},
        [STEER_LOADS] = {"loads", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_load), RPD_ACCOUNT_MAX},
        [STEER_EVENTS] = {"events", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_events), 1},
        [STEER_PROBES] = {"probes", BPF_MAP_TYPE_HASH, sizeof(uint32_t),
                          RPD_SLOT_MAX + RPD_PROBE_MAX},
        [STEER_PORTS] = {"ports", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_ports), 1},
        [STEER_FORMER] = {"former", BPF_MAP_TYPE_HASH, sizeof(struct rpd_former), RPD_FORMER_MAX},
        [STEER_IGNORED] = {"ignored", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_ignored), 1},
};

const struct steer_map_kind *steer_maps_kind(enum steer_map map)
{
	return &kinds[map];
}

int steer_maps_share(const struct steer *steer, struct bpf_object *object)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < STEER_MAP_MAX; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(object, kinds[i].name);

		if (map && steer->map_fd[i] >= 0)
			r = bpf_map__reuse_fd(map, steer->map_fd[i]);
	}
	return r;
}

int steer_maps_mmap(int fd, size_t size, void **memory, struct error *err)
{
	void *p;

	if (*memory)
		return 0;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return error_set(err, -errno, "can't map a BPF map: %s", strerror(errno));
	*memory = p;
	return 0;
}

int steer_maps_mmap_all(struct steer *steer, struct error *err)
{
	int r = steer_maps_mmap(steer->map_fd[STEER_SERVICE], sizeof(*steer->service),
	                        (void **)&steer->service, err);

	if (r == 0)
		r = steer_maps_mmap(steer->map_fd[STEER_CONTROL], sizeof(*steer->control),
		                    (void **)&steer->control, err);
	if (r == 0)
		r = steer_maps_mmap(steer->map_fd[STEER_SCHEDULES], 2 * sizeof(*steer->schedules),
		                    (void **)&steer->schedules, err);
	if (r == 0)
		r = steer_maps_mmap(steer->map_fd[STEER_EVENTS], sizeof(*steer->events),
		                    (void **)&steer->events, err);
	return r;
}

static const char *const pin_stems[STEER_PIN_MAX] = {
        [STEER_SOCKS] = "socks",
        [STEER_QUEUES] = "queues",
        [STEER_PROGRAM] = "steer",
};

const char *steer_maps_pin_name(enum steer_pin pin, unsigned int index,
                                char buf[STEER_MAPS_PIN_MAX])
{
	snprintf(buf, STEER_MAPS_PIN_MAX, "%s%u", pin_stems[pin], index);
	return buf;
}

bool steer_maps_is_endpoint_pin(const char *name)
{
	for (unsigned int pin = 0; pin < STEER_PIN_MAX; pin++) {
		const size_t stem = strlen(pin_stems[pin]);

		if (!strncmp(name, pin_stems[pin], stem) && name[stem] >= '0' && name[stem] <= '9')
			return true;
	}
	return false;
}

int steer_maps_pin_fd(const struct steer_endpoint *endpoint, enum steer_pin pin)
{
	if (pin == STEER_SOCKS)
		return endpoint->socks_fd;
	return pin == STEER_QUEUES ? endpoint->queues_fd : endpoint->prog_fd;
}

void steer_maps_close_endpoint(struct steer_endpoint *endpoint)
{
	cleanup_close(&endpoint->socks_fd);
	cleanup_close(&endpoint->queues_fd);
	cleanup_close(&endpoint->prog_fd);
	*endpoint = STEER_MAPS_NO_ENDPOINT;
}
