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
 * The iterator walks over map "marks", which has the addresses of the listeners' sockets, and not
 * over all TCP sockets: for those, the kernel locks each socket before it shows it
 * (bpf_iter_tcp_seq_show()), and a process can keep its socket locked for as long as it likes. Nor
 * does it walk over a storage of the sockets: since Linux 7.0, the kernel may crash if a socket is
 * freed while it is shown (__bpf_sk_storage_map_seq_show() reads the owner of a storage that has
 * none any more).
 *
 * A socket may be freed at any moment. So its memory is only read with bpf_probe_read_kernel(),
 * which can't fault, and what was read counts only if the memory looks like the listener before and
 * afterwards: by its cookie, its state and its network namespace. No other socket has the cookie.
 * But if the kernel gives the freed memory to a process, that process may forge a listener there:
 * it knows the cookie (SO_COOKIE) and the state. The address of the namespace is secret, but may be
 * left over. So a row shows what the group has, and is no proof of it.
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

#define ERR_TOO_BIG  7
#define STATE_LISTEN 10       /* include/net/tcp_states.h of the kernel */
#define CLOCK_TICK   10000000 /* ns: USER_HZ is 100 */
#define WAITERS_MAX  8
#define LOOK_MAX     32768 /* members: the kernel lets no more join a group */

/* How far a reading has examined the group of an endpoint. Of readings at the same time, one begins
 * again when another has begun: each finds a member that avoids the program if there is one, but
 * perhaps not all of them. */
struct group_look {
	__u64 reached; /* the reading, and in the low bits the index of the next member */
	__u64 avoids;  /* as in rpd_group_member */
};

#define LOOK_BITS 16 /* of the index, which is up to LOOK_MAX */

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

/* Most sockets of the host are not the service's: this test keeps their cost low. */
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
	__u64 reached, first;

	barrier_var(endpoint); /* a byte: clang would test its sign, which the verifier can't use */
	if (!group || endpoint >= RPD_ENDPOINT_MAX)
		return 0;
	look = &looks[endpoint];
	reached = *(volatile __u64 *)&look->reached;
	if (reached >> LOOK_BITS != session) {
		look->avoids = 0;
		reached = session << LOOK_BITS;
		__sync_lock_test_and_set(&look->reached, reached);
	}
	first = reached % (1 << LOOK_BITS);
	members.i = first;
	bpf_for_each_map_elem(&turns, group_check_next, &members, 0);
	if (members.avoids)
		look->avoids = members.avoids;
	__sync_val_compare_and_swap(&look->reached, reached, reached + (members.i - first));
	return members.avoids ? members.avoids : look->avoids;
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

static __always_inline __u64 group_read_cookie(struct sock *sk)
{
	return (__u64)BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}

/* The network namespace of the service's listeners, once one is marked. */
static struct net *group_net;

static __always_inline bool group_is_listener(struct sock *sk, __u64 cookie)
{
	return group_read_cookie(sk) == cookie &&
	       BPF_CORE_READ(sk, __sk_common.skc_state) == STATE_LISTEN &&
	       BPF_CORE_READ(sk, __sk_common.skc_net.net) == group_net;
}

/* Reads the listener. Returns false if it has closed meanwhile. */
static __always_inline bool group_read(struct sock *sk, __u64 session, __u32 slot, bool asked,
                                       struct rpd_group_member *row)
{
	row->under_way =
	        BPF_CORE_READ((struct inet_connection_sock *)sk, icsk_accept_queue.qlen.counter);
	row->program = group_find_program(sk);
	row->n_members = BPF_CORE_READ(sk, sk_reuseport_cb, num_socks);
	row->avoids = group_find_avoiding(sk, session, row->endpoint);
	row->served = asked && group_is_served(sk, slot);
	return group_is_listener(sk, row->cookie);
}

/* A row for the listener of the mark, if it is a member and still listens. The mark may be
 * changing: then the address is not that of the cookie's socket. */
static __always_inline void group_show(struct bpf_iter_meta *meta,
                                       const volatile struct rpd_mark *mark, bool asked)
{
	struct rpd_group_member row = {.cookie = mark->cookie};
	struct sock *sk = (struct sock *)mark->sk;
	struct rpd_member *member;

	if (!row.cookie || !group_is_listener(sk, row.cookie))
		return;
	member = bpf_map_lookup_elem(&members, &row.cookie);
	if (!member)
		return;
	row.endpoint = member->endpoint;
	if (group_read(sk, meta->session_id, member->slot, asked, &row))
		bpf_seq_write(meta->seq, &row, sizeof(row));
}

/* After the marks, a row without a cookie ends the list; then the iterator ends the read. */
static __always_inline int group_show_mark(struct bpf_iter__bpf_map_elem *ctx, bool asked)
{
	const struct rpd_group_member end = {};
	const struct rpd_mark *mark = ctx->value;
	const __u32 *at = ctx->key;
	__u32 zero = 0, n;
	struct rpd_control *ctl = bpf_map_lookup_elem(&control, &zero);

	if (!at || !mark || !ctl)
		return 0;
	n = ctl->n_marks;
	if (*at < n)
		group_show(ctx->meta, mark, asked);
	else if (*at == n)
		bpf_seq_write(ctx->meta->seq, &end, sizeof(end));
	return *at > n;
}

/* Writes a row for each admitted listener. */
SEC("iter/bpf_map_elem")
int show_member(struct bpf_iter__bpf_map_elem *ctx)
{
	return group_show_mark(ctx, false);
}

/* The same, and whether it is served. Is loaded in place of show_member() where the kernel has the
 * functions for it. */
SEC("?iter/bpf_map_elem")
int show_served(struct bpf_iter__bpf_map_elem *ctx)
{
	return group_show_mark(ctx, true);
}

/* The marks whose cookies are the same modulo GROUP_LISTS are a list: of eight rows if all are in
 * use. A link is the index of a row + 1, or 0. Link N is to the first row of list N; the link that
 * follows row N is at GROUP_LISTS + N. (A hash of the kernel would take more memory: in such a
 * program it can't allocate its elements one by one before Linux 6.1.) */
#define GROUP_LISTS 16384

__u32 group_links[GROUP_LISTS + RPD_MEMBER_MAX];

static __always_inline __u32 *group_link(__u32 at)
{
	return &group_links[at < GROUP_LISTS + RPD_MEMBER_MAX ? at : 0];
}

struct group_search {
	__u64 cookie;
	__u32 link; /* where the link to its row is */
};

/* One turn. Returns 1 to end. */
static long group_follow(void *map, __u32 *key, __u8 *value, struct group_search *search)
{
	const __u32 at = *group_link(search->link) - 1;
	const struct rpd_mark *mark = bpf_map_lookup_elem(&marks, &at);

	(void)map, (void)key, (void)value;
	if (!mark || mark->cookie == search->cookie)
		return 1;
	search->link = GROUP_LISTS + at;
	return 0;
}

/* The link to the row of the listener; it is 0 if the listener has none. */
static __always_inline __u32 *group_find_row(__u64 cookie)
{
	struct group_search search = {cookie, cookie % GROUP_LISTS};

	bpf_for_each_map_elem(&turns, group_follow, &search, 0);
	return group_link(search.link);
}

/* A listener that has closed leaves its row to another one. To see that takes some time: so many
 * rows, each time the next ones, are tested for each new listener; all if each row is in use. */
#define GROUP_TESTS 16

__u64 group_tested; /* how many rows were */

struct group_place {
	__u32 n, left, at;
	bool is_free;
};

/* One turn. Returns 1 to end. */
static long group_test_next(void *map, __u32 *key, void *value, struct group_place *place)
{
	const __u32 at = group_tested % place->n;
	const struct rpd_mark *mark = bpf_map_lookup_elem(&marks, &at);

	(void)map, (void)key, (void)value;
	if (!place->left || !mark)
		return 1;
	place->left--;
	group_tested++;
	place->at = at;
	place->is_free = !group_is_listener((struct sock *)mark->sk, mark->cookie);
	return place->is_free;
}

/* The index of a row for another listener; RPD_MEMBER_MAX = there is none. @n: rows that have been
 * in use. */
static __always_inline __u32 group_find_free(__u32 n)
{
	struct group_place place = {.n = n, .left = n < RPD_MEMBER_MAX ? GROUP_TESTS : n};

	bpf_for_each_map_elem(&marks, group_test_next, &place, 0);
	return place.is_free ? place.at : n;
}

/* Takes the row from the listener that it was for, and lists it for this one. */
static __always_inline void group_list_row(const struct rpd_mark *mark, __u32 at, __u64 cookie)
{
	__u32 *next = group_link(GROUP_LISTS + at), *first = group_link(cookie % GROUP_LISTS);

	if (mark->cookie)
		*group_find_row(mark->cookie) = *next;
	*next = *first;
	*first = at + 1;
}

/* Marks the listener that one of the caller's descriptors is open on. Returns 0 or an errno. What
 * is no socket, or has no cookie, is not marked. */
SEC("syscall")
int mark(const __u32 *fd)
{
	struct file *file = group_file_of(bpf_get_current_task_btf(), (int)*fd);
	struct socket *socket = BPF_CORE_READ(file, private_data);
	struct sock *sk = BPF_CORE_READ(socket, sk);
	const __u64 cookie = group_read_cookie(sk);
	__u32 zero = 0, at;
	struct rpd_control *ctl = bpf_map_lookup_elem(&control, &zero);
	struct rpd_mark *mark;

	if (!ctl || !cookie || BPF_CORE_READ(socket, file) != file || *group_find_row(cookie))
		return 0;
	at = group_find_free(ctl->n_marks);
	mark = bpf_map_lookup_elem(&marks, &at);
	if (!mark)
		return ERR_TOO_BIG;
	if (!group_net)
		group_net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	group_list_row(mark, at, cookie);
	__sync_lock_test_and_set(&mark->cookie, 0);
	mark->sk = (__u64)sk;
	__sync_lock_test_and_set(&mark->cookie, cookie);
	if (ctl->n_marks <= at)
		ctl->n_marks = at + 1;
	return 0;
}

/* Writes a row for each listener in "members" that is in the reader's network namespace, also where
 * the address of its socket is not known: for the listeners of no service. For commands that may
 * wait. A row without a cookie, the only one of its read, ends the list. The kernel locks each
 * socket that it comes to: the read ends at the first ones that do not listen. */
SEC("iter/tcp")
int show_listener(struct bpf_iter__tcp *ctx)
{
	struct sock *sk = (struct sock *)ctx->sk_common;
	struct seq_file *seq = ctx->meta->seq;
	struct rpd_group_member row = {};

	if (!sk)
		return 0;
	if (sk->__sk_common.skc_state == STATE_LISTEN) {
		if (!group_is_our_port(sk->__sk_common.skc_num))
			return 0;
		row.cookie = bpf_get_socket_cookie(sk);
		if (!bpf_map_lookup_elem(&members, &row.cookie))
			return 0;
		row.program = group_find_program(sk);
	} else if (seq->count) { /* listeners come first */
		return 1;
	}
	bpf_seq_write(seq, &row, sizeof(row));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
