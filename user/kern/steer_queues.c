/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_queues.h"

#include <errno.h>
#include <stdlib.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "base/cleanup.h"
#include "core/schedule.h"
#include "kern/features.h"
#include "kern/kernel_cast.h"
#include "kern/kernel_member.h"
#include "kern/map_range.h"

static const struct {
	const char *structure, *member;
	size_t to; /* in struct rpd_members_at */
} members[] = {
        {"sk_reuseport_kern", "selected_sk", offsetof(struct rpd_members_at, selected_sk)},
        {"sock", "sk_ack_backlog", offsetof(struct rpd_members_at, ack_backlog)},
        {"sock", "sk_max_ack_backlog", offsetof(struct rpd_members_at, max_ack_backlog)},
        {"inet_connection_sock", "icsk_accept_queue", offsetof(struct rpd_members_at, young)},
        {"inet_connection_sock", "icsk_accept_queue", offsetof(struct rpd_members_at, accept_head)},
        {"tcp_request_sock", "snt_isn", offsetof(struct rpd_members_at, snt_isn)},
};

static bool steer_queues_read_btf(struct rpd_members_at *ret)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool is_complete = btf && features_probe(FEATURE_READ_KERNEL) == 1;
	const bool can_cast = is_complete && kernel_cast_link(btf);

	*ret = (struct rpd_members_at){};
	for (size_t i = 0; is_complete && i < ARRAY_SIZE(members); i++) {
		struct rpd_member_at *at = (struct rpd_member_at *)((char *)ret + members[i].to);

		at->offset = kernel_member_find(btf, members[i].structure, members[i].member) / 8;
		is_complete = at->offset != 0;
		if (can_cast)
			at->type = (uint32_t)btf__find_by_name_kind(btf, members[i].structure,
			                                            BTF_KIND_STRUCT);
	}
	if (is_complete) {
		ret->young.offset += kernel_member_find(btf, "request_sock_queue", "young") / 8;
		ret->accept_head.offset +=
		        kernel_member_find(btf, "request_sock_queue", "rskq_accept_head") / 8;
	}
	btf__free(btf);
	return is_complete;
}

/* Reading the BTF takes some 20 ms, and a service has up to RPD_ENDPOINT_MAX programs: the offsets
 * are kept. They are the same for all of them. A failure may be transient, and is not kept. */
bool steer_queues_find_members(struct rpd_members_at *ret)
{
	static struct rpd_members_at found;

	if (!found.selected_sk.offset && !steer_queues_read_btf(&found))
		found = (struct rpd_members_at){};
	*ret = found;
	return found.selected_sk.offset != 0;
}

int steer_queues_require(const struct steer *steer, struct error *err)
{
	struct rpd_members_at ignored;

	if (!steer_queues_find_members(&ignored))
		return error_set(
		        err, -EOPNOTSUPP,
		        "skip-stuck needs the BTF of the kernel (CONFIG_DEBUG_INFO_BTF, "
		        "/sys/kernel/btf/vmlinux) and bpf_probe_read_kernel() (no lockdown "
		        "in mode \"confidentiality\"), which can't be used here: see "
		        "`reuseportd doctor`; without skip-stuck, steering works");
	if (steer->service->flags & RPD_SERVICE_BLIND)
		return error_set(err, -EOPNOTSUPP,
		                 "skip-stuck has no effect: when the service was made, the BTF of "
		                 "the kernel or bpf_probe_read_kernel() could not be used; to use "
		                 "skip-stuck, detach or stop the service, and make it again");
	return 0;
}

int steer_queues_read(const struct steer *steer, unsigned int endpoint, size_t n,
                      struct rpd_queue *ret)
{
	return map_range_read(steer->endpoints[endpoint].queues_fd, 0, n, ret);
}

/* A kill in between, and any failure, leave n_stuck too high: that costs time, and nothing else. */
static void steer_queues_forget(const struct steer *steer, unsigned int endpoint,
                                const struct rpd_schedule *in_force)
{
	_cleanup_free_ struct rpd_queue *rows = calloc(RPD_SLOT_MAX, sizeof(*rows));

	if (!rows || steer_queues_read(steer, endpoint, RPD_SLOT_MAX, rows) < 0)
		return;
	for (uint32_t slot = 0; slot < RPD_SLOT_MAX; slot++) {
		if (!rows[slot].is_stuck || (in_force && schedule_has_slot(in_force, slot)))
			continue;
		rows[slot].is_stuck = 0;
		if (bpf_map_update_elem(steer->endpoints[endpoint].queues_fd, &slot, &rows[slot],
		                        BPF_ANY) == 0)
			__atomic_fetch_sub(&steer->control->n_stuck, 1, __ATOMIC_RELAXED);
	}
}

void steer_queues_forget_endpoint(const struct steer *steer, unsigned int endpoint)
{
	if (steer->control->n_stuck)
		steer_queues_forget(steer, endpoint, NULL);
}

void steer_queues_forget_out_of_ring(const struct steer *steer)
{
	for (unsigned int e = 0; steer->control->n_stuck && e < steer->service->n_endpoints; e++)
		if (steer_has_endpoint(steer, e))
			steer_queues_forget(steer, e, steer_schedule(steer));
}
