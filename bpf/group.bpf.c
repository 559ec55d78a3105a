/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An iterator over the admitted listeners of a network namespace. It shows what the kernel tells
 * about a listener in no other way: which program its reuseport group has, and how many handshakes
 * are under way. It also shows whether the worker still serves the listener: for a thousand workers
 * that takes 20 ms less than to read /proc (kern/proc.c).
 *
 * Any member can change the program of its group (guard.bpf.c). There is no socket option, no
 * attribute of sock_diag and no link that would show the program. All members point to the group
 * (struct sock_reuseport, net/core/sock_reuseport.c), which points to the program. Reading a group
 * that is being freed gives a wrong number for once, and no fault.
 *
 * A member that turns SO_REUSEPORT off stays in the group. But if the kernel comes to it before
 * others, it gets all connections of the group, and no program runs (inet_lookup_reuseport()). So
 * the iterator also shows such a member, admitted or not.
 *
 * The iterator walks over the marks of the listeners (member_maps.h), not over all TCP sockets: for
 * those, the kernel locks each socket before it shows it (bpf_iter_tcp_seq_show()), and a process
 * can keep its socket locked for as long as it likes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include <reuseportd/abi.h>
#include "kernel_types.h"
#include "member_maps.h"
#include "schedule_maps.h"

#define STATE_LISTEN 10       /* include/net/tcp_states.h of the kernel */
#define CLOCK_TICK   10000000 /* ns: USER_HZ is 100 */
#define WAITERS_MAX  8
#define LOOK_MAX     32768 /* members: the kernel lets no more join a group */

/* How far a reading has examined the group of an endpoint. Readings at the same time only examine
 * more than they need. */
struct group_look {
	__u64 session; /* the reading */
	__u64 avoids;  /* as in rpd_group_member */
	__u32 at;
};

static struct group_look looks[RPD_ENDPOINT_MAX];

/* Its elements are only counted: so the verifier examines one turn of a loop, and not each. (Since
 * Linux 5.17 there is bpf_loop().) */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LOOK_MAX);
	__type(key, __u32);
	__type(value, __u8);
} turns SEC(".maps");

/* Since Linux 6.14. */
extern struct task_struct *bpf_task_from_vpid(int pid) __ksym __weak;
extern void bpf_task_release(struct task_struct *task) __ksym __weak;

/* Most listeners of the host are not the service's: this test keeps their cost low. */
static __always_inline int group_is_our_port(__u16 port)
{
	__u32 zero = 0;
	struct rpd_ports *our = bpf_map_lookup_elem(&ports, &zero);

	return our && our->has[port / 64] >> port % 64 & 1;
}

/* Pointers that BPF_CORE_READ() follows are not to const: clang 22 warns of the variables that it
 * makes of such types. */

/* A classic program has no id. */
static __always_inline __u32 group_find_program(struct sock *sk)
{
	struct bpf_prog *program = BPF_CORE_READ(sk, sk_reuseport_cb, prog);
	__u32 id;

	if (!program)
		return RPD_PROGRAM_NONE;
	id = BPF_CORE_READ(program, aux, id);
	return id ? id : RPD_PROGRAM_CLASSIC;
}

/* The cookie of the member if it has SO_REUSEPORT off, or 0. A member that no process has asked for
 * its cookie has none yet. */
static __always_inline __u64 group_check_member(struct sock *member)
{
	const __u64 unknown = ~0ull;
	__u64 cookie;

	if (!member || BPF_CORE_READ(member, __sk_common.skc_state) != STATE_LISTEN ||
	    BPF_CORE_READ_BITFIELD_PROBED(member, __sk_common.skc_reuseport))
		return 0;
	cookie = BPF_CORE_READ(member, __sk_common.skc_cookie.counter);
	return cookie ? cookie : unknown;
}

struct group_members {
	struct sock **at;
	__u32 i, n;
	__u64 avoids;
};

/* One turn. Returns 1 to end. */
static long group_check_next(void *map, __u32 *key, __u8 *value, struct group_members *members)
{
	struct sock *member = NULL;

	(void)map, (void)key, (void)value;
	if (members->i >= members->n)
		return 1;
	bpf_probe_read_kernel(&member, sizeof(member), members->at + members->i++);
	members->avoids = group_check_member(member);
	return members->avoids != 0;
}

/* Each row of a group shows the next such member. If there is no further one, it shows the last one
 * again. */
static __always_inline __u64 group_find_avoiding(struct sock *sk, __u64 session, __u32 endpoint)
{
	struct sock_reuseport *group = BPF_CORE_READ(sk, sk_reuseport_cb);
	struct group_members members = {.at = (void *)group +
	                                      bpf_core_field_offset(struct sock_reuseport, socks),
	                                .n = BPF_CORE_READ(group, num_socks)};
	struct group_look *look;

	if (!group || endpoint >= RPD_ENDPOINT_MAX)
		return 0;
	look = &looks[endpoint];
	if (look->session != session)
		*look = (struct group_look){.session = session};
	members.i = look->at;
	bpf_for_each_map_elem(&turns, group_check_next, &members, 0);
	look->at = members.i;
	if (members.avoids)
		look->avoids = members.avoids;
	return look->avoids;
}

static __always_inline struct file *group_file_of(const struct task_struct *task, int fd)
{
	const struct fdtable *table = task->files->fdt;
	struct file *file = NULL;

	if (fd >= 0 && (__u32)fd < table->max_fds)
		bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	return file;
}

/* Whether the epoll descriptor watches @file, the listener's. What other waiters have in the place
 * of an eppoll_entry is no pointer to these two. */
static __always_inline bool group_is_watched(struct sock *sk, struct file *file, struct file *epoll)
{
	struct socket_wq *queue = BPF_CORE_READ(sk, sk_wq);
	struct list_head *it = BPF_CORE_READ(queue, wait.head.next);

	for (int i = 0; epoll && i < WAITERS_MAX; i++) {
		struct eppoll_entry *entry =
		        (void *)it - bpf_core_field_offset(struct eppoll_entry, wait.entry);
		struct epitem *item = BPF_CORE_READ(entry, base);

		if (BPF_CORE_READ(item, ffd.file) == file && BPF_CORE_READ(item, ep, file) == epoll)
			return true;
		it = BPF_CORE_READ(it, next);
	}
	return false;
}

/* As proc_still_serves() in kern/proc.c. What is read of a task or file that ends meanwhile is
 * wrong, and then equals nothing. */
static __always_inline bool group_task_serves(const struct task_struct *task,
                                              const struct rpd_worker *worker, struct sock *sk)
{
	struct file *file = group_file_of(task, worker->fd);
	struct socket *socket = BPF_CORE_READ(file, private_data);

	return file && BPF_CORE_READ(socket, file) == file && BPF_CORE_READ(socket, sk) == sk &&
	       task->start_boottime / CLOCK_TICK == worker->start_time &&
	       (worker->epfd < 0 || group_is_watched(sk, file, group_file_of(task, worker->epfd)));
}

static __always_inline bool group_is_served(struct sock *sk, __u32 slot)
{
	const struct rpd_schedule *sched = schedule_find();
	struct rpd_worker *worker = sched ? schedule_find_worker(sched, slot) : NULL;
	struct task_struct *task = worker ? bpf_task_from_vpid(worker->pid) : NULL;
	bool served;

	if (!task)
		return false;
	served = group_task_serves(task, worker, sk);
	bpf_task_release(task);
	return served;
}

/* A row for a listener of ours. @session: 0 = its group is not examined. @asked: whether it is
 * served. */
static __always_inline void group_show(struct seq_file *seq, struct sock_common *sk, __u64 session,
                                       bool asked)
{
	struct inet_connection_sock *listener;
	struct rpd_group_member row = {};
	struct rpd_member *member;

	if (!group_is_our_port(sk->skc_num))
		return;
	row.cookie = bpf_get_socket_cookie(sk);
	member = bpf_map_lookup_elem(&members, &row.cookie);
	if (!member)
		return;
	listener = (struct inet_connection_sock *)bpf_skc_to_tcp_sock(sk);
	if (!listener)
		return;
	row.endpoint = member->endpoint;
	row.under_way = listener->icsk_accept_queue.qlen.counter;
	row.program = group_find_program((struct sock *)listener);
	if (session)
		row.avoids = group_find_avoiding((struct sock *)listener, session, row.endpoint);
	row.served = asked && group_is_served((struct sock *)listener, member->slot);
	bpf_seq_write(seq, &row, sizeof(row));
}

static __always_inline int group_show_marked(struct bpf_iter__bpf_sk_storage_map *ctx, bool asked)
{
	struct sock *sk = ctx->sk;

	if (sk && sk->__sk_common.skc_state == STATE_LISTEN)
		group_show(ctx->meta->seq, (struct sock_common *)sk, ctx->meta->session_id, asked);
	return 0;
}

/* Writes a row for each admitted listener. */
SEC("iter/bpf_sk_storage_map")
int show_member(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	return group_show_marked(ctx, false);
}

/* The same, and whether it is served. Is loaded in place of show_member() where the kernel has the
 * functions for it. */
SEC("?iter/bpf_sk_storage_map")
int show_served(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	return group_show_marked(ctx, true);
}

/* The same for listeners that are not marked: "members" has those of no service. For commands that
 * may wait. A row without a cookie ends the list. */
SEC("iter/tcp")
int show_listener(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	const struct rpd_group_member end = {};

	if (sk && sk->skc_state == STATE_LISTEN)
		group_show(ctx->meta->seq, sk, 0, false);
	else if (sk) /* listeners come first: the reader may stop here */
		bpf_seq_write(ctx->meta->seq, &end, sizeof(end));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
