/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/detour.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "detour.skel.h"

struct detour {
	struct detour_bpf *skel;
	struct bpf_link *link;
};

void detour_free(struct detour *detour)
{
	if (!detour)
		return;
	bpf_link__destroy(detour->link);
	detour_bpf__destroy(detour->skel);
	free(detour);
}

static void detour_cleanup(struct detour **detour)
{
	detour_free(*detour);
}

static int detour_attach(struct detour *detour)
{
	_cleanup_close_ int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int r;

	if (netns < 0)
		return -errno;
	detour->skel = detour_bpf__open();
	if (!detour->skel)
		return -errno;
	r = detour_bpf__load(detour->skel);
	if (r < 0)
		return r;
	detour->link = bpf_program__attach_netns(detour->skel->progs.rpd_detour, netns);
	return detour->link ? 0 : -errno;
}

int detour_open(struct detour **ret, struct error *err)
{
	_cleanup_(detour_cleanup) struct detour *detour = calloc(1, sizeof(*detour));
	const int r = detour ? detour_attach(detour) : -ENOMEM;

	if (r < 0)
		return error_set(err, r, "can't lead connections on (sk_lookup): %s", strerror(-r));
	*ret = TAKE_PTR(detour);
	return 0;
}

static struct detour_address detour_address_of(const struct rpd_endpoint *e)
{
	const struct rpd_endpoint plain = endpoint_unmap(e);
	struct detour_address address = {.port = plain.port, .family = plain.family};

	memcpy(address.addr, plain.addr, sizeof(address.addr));
	return address;
}

int detour_add(struct detour *detour, unsigned int index, const struct rpd_endpoint *from,
               int listener, struct error *err)
{
	const struct detour_address address = detour_address_of(from);
	const uint64_t fd = listener;
	const uint32_t key = index;

	if (bpf_map_update_elem(bpf_map__fd(detour->skel->maps.detour_to), &key, &fd, BPF_ANY) <
	            0 ||
	    bpf_map_update_elem(bpf_map__fd(detour->skel->maps.detour_from), &address, &key,
	                        BPF_ANY) < 0)
		return error_set(err, -errno, "can't lead connections on: %s", strerror(errno));
	return 0;
}

void detour_remove(struct detour *detour, unsigned int index, const struct rpd_endpoint *from)
{
	const struct detour_address address = detour_address_of(from);
	const uint32_t key = index;

	bpf_map_delete_elem(bpf_map__fd(detour->skel->maps.detour_from), &address);
	bpf_map_delete_elem(bpf_map__fd(detour->skel->maps.detour_to), &key);
}
