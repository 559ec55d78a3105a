/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Everything that the BPF programs and user space share: the keys and values of the pinned maps.
 * Fixed-size types only; sizes and offsets are asserted at the end. A change that an older
 * reuseportd would misread must raise RPD_ABI_VERSION.
 */
#pragma once

#include <linux/types.h>

#define RPD_MAGIC       0x72707264u /* "rprd" */
#define RPD_ABI_VERSION 10

#define RPD_SLOT_MAX     1024   /* worker slots of a service */
#define RPD_RING_MAX     4096   /* entries of a schedule ring; a power of two */
#define RPD_ENDPOINT_MAX 128    /* reuseport groups of a service */
#define RPD_MEMBER_MAX   131072 /* listeners of a service, those of former workers included */
#define RPD_VERSION_MAX  64     /* version labels in use at a time */
#define RPD_LABEL_MAX    32     /* bytes of a version label or service name, with the final NUL */
#define RPD_COMM_MAX     16     /* TASK_COMM_LEN */
#define RPD_FIRST_LABEL  "v1"   /* the version of workers without a label of their own */
#define RPD_WEIGHT_MAX   1000
#define RPD_WEIGHT_BASE  100 /* the default weight */

/*
 * A slot has two cells, each with a row of map "workers" and an entry of each endpoint's socket
 * array. One is in force: the schedule says which (RPD_SLOT_SECOND). Another worker is put into the
 * idle one; then one store, which puts a schedule in force, changes the workers of any number of
 * slots on all endpoints. While no command is at work, idle entries of socket arrays are empty.
 */
#define RPD_CELL_MAX (2 * RPD_SLOT_MAX)

/*
 * After the cells, a socket array has the parking listener, which holds connections while no worker
 * lives; then listeners that are in no slot yet, and that only a probe can reach (map "probes").
 * They are at rpd_cell() (cell.h), as if each were the only cell of a slot with this number.
 */
#define RPD_SLOT_PARKING RPD_SLOT_MAX
#define RPD_SLOT_PROBE   (RPD_SLOT_MAX + 1)
#define RPD_PROBE_MAX    64
#define RPD_SOCKS_MAX    (RPD_CELL_MAX + 1 + RPD_PROBE_MAX)

/* Rows of the counter map: one for each slot, then the runs that reached no slot. */
#define RPD_ROW_PARKING RPD_SLOT_PARKING
#define RPD_ROW_NONE    (RPD_SLOT_MAX + 1)
#define RPD_ROW_MAX     (RPD_SLOT_MAX + 2)

/*
 * Connections are counted by account. A slot has several accounts, one for each generation: a
 * worker that is swapped in gets an account without open connections. So its connections stay
 * distinct from those of the former worker, until the last of these has closed. Account A belongs
 * to slot A % RPD_SLOT_MAX.
 */
#define RPD_ACCOUNT_GENERATIONS 16
#define RPD_ACCOUNT_UNKNOWN     (RPD_ACCOUNT_GENERATIONS * RPD_SLOT_MAX) /* of some worker */
#define RPD_ACCOUNT_PARKED      (RPD_ACCOUNT_UNKNOWN + 1)                /* of no worker yet */
#define RPD_ACCOUNT_MAX         (RPD_ACCOUNT_PARKED + 1)
#define RPD_ACCOUNT_NONE        0xffff /* all accounts of the slot are in use: not counted */

/* How many open connections can be counted: the default, and the limit. */
#define RPD_CONNS_DEFAULT 262144
#define RPD_CONNS_LIMIT   16777216

#define RPD_RATE_SECONDS 8 /* of a row, the current second included; a power of two */

#define RPD_NO_VERSION  0xff
#define RPD_NO_ENDPOINT 0xff

enum rpd_policy {
	RPD_ROUND_ROBIN, /* ring[cursor++]: exact, for any client */
	RPD_STICKY,      /* ring[hash(client address)]: a client keeps its worker */
	/* the worker with the fewest connections for its weight, of the next entries of the ring */
	RPD_LEAST_CONNECTIONS,
	RPD_POLICY_MAX,
};

enum rpd_slot_state {
	RPD_SLOT_EMPTY,    /* never filled */
	RPD_SLOT_ACTIVE,   /* may be in the ring */
	RPD_SLOT_DRAINING, /* out of the ring, by the user */
	RPD_SLOT_STATE_MAX,
};

/* rpd_slot.flags */
#define RPD_SLOT_CANARY  0x1 /* gets a part of the canary share */
#define RPD_SLOT_DEAD    0x2 /* had no listener in any endpoint when the ring was built */
#define RPD_SLOT_STALLED 0x4 /* its listener is open, but no process polls it */
#define RPD_SLOT_SECOND  0x8 /* its second cell is in force; stays when the slot is empty */

/* rpd_schedule.flags */
#define RPD_STRICT 0x1 /* refuse connections rather than fall back to the kernel's hash */

/* One slot: the user's settings, and what was observed. 8 bytes. */
struct rpd_slot {
	__u16 weight;  /* 0..RPD_WEIGHT_MAX */
	__u16 entries; /* of the ring; the slot's share is entries / ring_len */
	__u8 state;    /* enum rpd_slot_state */
	__u8 version;  /* index in rpd_schedule.versions */
	__u8 flags;
	__u8 generation; /* of the worker: its account is generation * RPD_SLOT_MAX + slot */
};

/* The version's slots in the ring are candidates[first .. first + count - 1]; its slots that
 * `switch` left out are candidates[standby_first .. standby_first + standby_count - 1]. */
struct rpd_version {
	char label[RPD_LABEL_MAX]; /* "" = free */
	__u16 first;
	__u16 count;
	__u16 standby_first;
	__u16 standby_count;
	/* What the counts of its workers have to be completed with (core/schedule_past.h). Only
	 * for user space. */
	__u64 past_opened;
	__u64 past_resets;
};

/*
 * The settings of the slots, and the ring that is computed from them. Map "schedules" holds two
 * schedules: rpd_control.active is the index of the one in force, and only the other one is ever
 * written.
 */
struct rpd_schedule {
	__u32 ring_len; /* 0: new connections are parked if there was never a worker (n_candidates =
	                   0), and refused if the user has forced every worker out */
	__u32 policy;   /* enum rpd_policy */
	__u32 flags;
	__u16 n_slots;         /* slots 0 .. n_slots - 1 may be in use */
	__u16 n_ring_slots;    /* slots in the ring: candidates[0 .. n_ring_slots - 1] */
	__u16 n_candidates;    /* these, then the admitted slots that are out of the ring */
	__u16 canary_permille; /* share of the canary slots, 0 = no canary */
	__u32 rounding_ppm;    /* largest relative error of a slot's share, by rounding */
	__u8 only_version;     /* the version that `switch` chose, or RPD_NO_VERSION */
	__u8 choices;          /* of RPD_LEAST_CONNECTIONS: how many workers are compared */
	__u8 pad[2];
	__u32 stuck_after; /* RPD_TICKs without an accept, after which a worker with a queue loses
	                      its turns; 0 = it keeps them */
	__u32 slow_start; /* of RPD_LEAST_CONNECTIONS: RPD_TICKs in which a worker is young; 0 = off
	                   */
	__u32 pad2;
	struct rpd_version versions[RPD_VERSION_MAX];
	struct rpd_slot slots[RPD_SLOT_MAX];
	__u16 candidates[RPD_SLOT_MAX];
	__u16 ring[RPD_RING_MAX];
};

/* Map "control", one entry, memory mapped. The cursors and `active` have a cache line each: every
 * new connection, on every CPU, writes a cursor and reads `active`. */
struct rpd_control {
	__u64 cursor; /* moves for a SYN only */
	__u64 pad0[7];
	__u64 aside; /* for SYN-cookie ACKs and migrations, which must not move `cursor` */
	__u64 pad1[7];
	__u32 active;   /* index of the schedule in force: one store puts a schedule in force */
	__u32 counting; /* connections are counted: the counting programs are attached */
	__u32 n_more;   /* entries of map "conns_more" */
	__s32 counting_error; /* why they are not counted: a negative errno */
	__u32 n_unlisted;     /* connections from before `attach` that could not be listed */
	__u32 n_probes;       /* at least the number of entries of map "probes" */
	__u32 n_generations;  /* only the first n generations of any slot have ever been used */
	__u32 n_stuck;        /* at least the number of rows of maps "queues" that are stuck */
	__u32 counting_loads; /* new connections are counted in map "loads", too */
	__u32 n_ignored;      /* networks in map "ignored" */
	__u32 n_marks;        /* rows of map "marks" */
	__u32 pad2[5];
};

/* The outcomes of a run of the steering program. */
enum rpd_outcome {
#define RPD_COUNTER(name, help) RPD_OUTCOME_##name,
#include <reuseportd/counters.def>
	RPD_OUTCOME_MAX,
};

/* Map "counters", per CPU, an entry for each outcome: the number of runs that ended in it, by row.
 * Not the other way round: nearly all runs have the same outcome, so eight slots share a cache
 * line. */
struct rpd_tally {
	__u64 of[RPD_ROW_MAX];
};

/* Why a worker has lost a turn. */
enum rpd_pass {
#define RPD_PASS_COUNTER(name, help) RPD_PASS_##name,
#include <reuseportd/counters.def>
	RPD_PASS_MAX,
};

/* The unit of time in rpd_queue.seen, and in rpd_schedule.stuck_after: 0.26 ms. */
#define RPD_TICK_LOG  18
#define RPD_TICKS_MAX ((1 << 30) - 1) /* the longest time: 3.2 days */

/* How many workers RPD_LEAST_CONNECTIONS compares. */
#define RPD_CHOICES_DEFAULT 3
#define RPD_CHOICES_MIN     2
#define RPD_CHOICES_MAX     8

/* The unit of time in rpd_load.resets: 8.6 s. */
#define RPD_RESET_TICK_LOG 33

/* Map "loads", by account: what RPD_LEAST_CONNECTIONS compares. The sum of the account's rows of
 * map "accounts", which are one for each CPU, would take too long. All CPUs write the same row,
 * which takes its time, so it is written only while that policy is in force: */
struct rpd_load {
	__s64 open; /* connections with RPD_TAG_LOAD, accepted or not */
	/* Connections that the worker has reset, in the lower half. They are halved with each tick:
	 * the upper half has the tick of the latest. */
	__u64 resets;
	/* With any policy, but rarely: of the connections with RPD_TAG_IGNORED. */
	__u64 ignored_opened, ignored_resets;
	__u64 pad[4];
};

/*
 * Map "queues" of an endpoint, by slot: the accept queue of the slot's listener, as the steering
 * program has last seen it. The program reads and writes a row only when the queue is not empty, or
 * when it was stuck before.
 */
struct rpd_queue {
	/* The first connection of the queue (the initial sequence number that the kernel gave to
	 * it) in the lower half; the tick when the program first saw it there in the upper half. In
	 * one word, since several CPUs read and write it at the same time. */
	__u64 seen;
	__u32 is_stuck; /* it had not moved for rpd_schedule.stuck_after */
	__u32 pad;
	__u64 passed[RPD_PASS_MAX]; /* turns that the slot has lost */
	__u64 burst[2]; /* as rpd_events.burst, of RPD_EVENT_moving and RPD_EVENT_stuck: a worker
	                   that gets stuck again and again does not displace all other events */
	__u64 pad2[2];
};

/* Key of map "probes": the source of a connection. The value, a __u32, is the slot whose listener
 * gets the connection, or RPD_SLOT_PROBE + n. */
struct rpd_probe {
	__u8 addr[16] __attribute__((aligned(4))); /* as rpd_endpoint.addr */
	__u16 port;                                /* host order */
	__u16 family; /* of the packets: AF_INET also if the listener is IPv6 */
};

/* Map "members": listener cookie -> where it was admitted. When a listener closes, its queue
 * migrates to workers of the version that is found here. */
struct rpd_member {
	__u16 slot;
	__u8 version;
	__u8 endpoint; /* or RPD_NO_ENDPOINT: that endpoint was removed */
	__u16 account; /* of its connections */
	__u8 left;     /* it has closed, and the event was logged */
	__u8 pending;  /* it was never in force: it is no member if its command was killed */
};

/* Map "marks": the listeners that were ever admitted, until other ones take their rows. The first
 * rpd_control.n_marks rows have been in use. A listener keeps its row until it closes. */
struct rpd_mark {
	__u64 cookie; /* 0 = the row is free */
	__u64 sk;     /* the address of its socket, which may have been freed */
};

enum rpd_conn_counter {
#define RPD_CONN_COUNTER(name, help) RPD_CONN_##name,
#include <reuseportd/counters.def>
	RPD_CONN_COUNTER_MAX,
};

/* Map "accounts", per CPU: what became of a worker's connections. The number of open connections is
 * opened + found + moved_in - closed - moved_out. */
struct rpd_account {
	__u64 of[RPD_CONN_COUNTER_MAX];
};

/* Map "rates", per CPU, by slot: new connections in each of the last seconds of bpf_ktime_get_ns().
 */
struct rpd_rate {
	__u64 second; /* the latest second in of[] */
	__u32 of[RPD_RATE_SECONDS];
};

/*
 * Map "conns": the open connections, in buckets of one cache line. The address of a connection's
 * socket selects the bucket; if that is full, the connection is in map "conns_more", by the
 * address.
 *
 * A tag has the connection's account in the low bits, then two flags, and in the others the time
 * when it was established: bpf_ktime_get_ns() in whole RPD_TAG_TICKs; 0 = not known.
 */
#define RPD_CONN_WAYS    4
#define RPD_TAG_BITS     17
#define RPD_TAG_LOAD     0x8000u  /* it is counted in map "loads", too */
#define RPD_TAG_IGNORED  0x10000u /* of a client in map "ignored" */
#define RPD_TAG_ACCOUNT  (RPD_TAG_LOAD - 1)
#define RPD_TAG_NONE     RPD_TAG_ACCOUNT /* no account: left over from a connection that has ended */
#define RPD_TAG_TICK_LOG 11
#define RPD_TAG_TICK     (1u << RPD_TAG_TICK_LOG)

struct rpd_conns {
	__u64 sk[RPD_CONN_WAYS]; /* 0 = free */
	__u64 tag[RPD_CONN_WAYS];
};

/* Map "found": cookie of a connection that was open before the counting -> its account. */
struct rpd_found {
	__u16 account;
	__u8 pad[6];
};

/* A row of the iterator over the open connections. */
struct rpd_open {
	__u64 cookie;
	__u64 tag;
};

/* The program of a reuseport group: an id, or one of these. */
#define RPD_PROGRAM_NONE    0
#define RPD_PROGRAM_CLASSIC 0xffffffff /* classic BPF programs have no id */

/* A row of the iterator over the admitted listeners. One without a cookie ends the list. */
struct rpd_group_member {
	__u64 cookie;
	__u32 under_way; /* handshakes */
	__u32 program;   /* of its group: an id, or RPD_PROGRAM_... */
	__u16 endpoint;
	__u16 n_members; /* of its group that listen, admitted or not */
	__u32 served;    /* the worker of its slot serves it; 0 = no, or not known */
	__u64 avoids; /* the cookie of a member of the group that has SO_REUSEPORT off, another one
	                 in each row if there are several; 0 = none is known */
};

enum rpd_event_kind {
#define RPD_EVENT(name, help) RPD_EVENT_##name,
#include <reuseportd/events.def>
	RPD_EVENT_KIND_MAX,
};

#define RPD_EVENT_MAX        1024 /* events that are kept; a power of two */
#define RPD_EVENT_TEXT_MAX   24
#define RPD_EVENT_BURST_NS   1000000000ull  /* a repetition this soon adds to the same event ... */
#define RPD_EVENT_LONGEST_NS 60000000000ull /* ... for at most this long */
#define RPD_EVENT_BURSTS     4
#define RPD_NO_SLOT          0xffff

struct rpd_event {
	__u64 seq;   /* 1 + the event's number since `attach`; written last */
	__u64 time;  /* bpf_ktime_get_ns(), CLOCK_MONOTONIC */
	__u64 until; /* time of the last repetition */
	__u32 count;
	__u32 pid;  /* of the worker, 0 = none */
	__u16 slot; /* or RPD_NO_SLOT: of none, or of several */
	__u8 kind;
	__u8 pad[5];
	char text[RPD_EVENT_TEXT_MAX];
};

/* Map "events", one entry, memory mapped: programs and commands write it. Event number N is
 * entries[N % RPD_EVENT_MAX]. */
struct rpd_events {
	__u64 head; /* the number of the next event */
	/* for each kind, and a part of the slots: seq of the event that is still going on */
	__u64 burst[RPD_EVENT_KIND_MAX][RPD_EVENT_BURSTS];
	__u64 pad[7];
	struct rpd_event entries[RPD_EVENT_MAX];
};

/* The lifecycle of the pins. Any stage but READY shows the next command that a killed one has left
 * the service half made or half removed: the next command then removes the rest. */
enum rpd_stage {
	RPD_STAGE_FILLING,   /* `attach` fills the slots; nothing is steered yet */
	RPD_STAGE_ATTACHING, /* the slots are filled; the program is being attached to the groups */
	RPD_STAGE_READY,
	RPD_STAGE_REMOVING, /* `detach` is at work, or was killed: finish it */
};

/* One reuseport group of the kernel: what all its members have in common. */
struct rpd_endpoint {
	__u8 family; /* AF_INET or AF_INET6; 0 = the entry is free */
	__u8 v6only;
	__u16 port;    /* host order */
	__u32 ifindex; /* SO_BINDTODEVICE, 0 = none */
	__u32 uid;     /* of the listeners */
	__u32 pad;
	__u8 addr[16]; /* network order; IPv4 in the first four bytes */
};

/* rpd_service.flags */
#define RPD_SERVICE_RUN   0x1 /* a supervisor starts its workers (`run`, not `attach`) */
#define RPD_SERVICE_BLIND 0x2 /* a steering program was loaded that can't see the queues */
#define RPD_SERVICE_FLIP  0x4 /* idle entries of socket arrays may have a listener */

/* Map "service", one entry, memory mapped. Pinned first and removed last. */
struct rpd_service {
	__u32 magic;
	__u32 abi;
	__u32 stage;        /* enum rpd_stage */
	__u32 n_endpoints;  /* 1 + the last entry of endpoints[] that is in use */
	__u32 n_workers;    /* the largest number of workers that are admitted; 0 = any number */
	__u32 flags;        /* RPD_SERVICE_* */
	__u64 netns_cookie; /* SO_NETNS_COOKIE of the workers' network namespace */
	__u64 netns_ino;    /* the inode of that namespace, to find a process in it */
	__u64 attached_at;  /* seconds since the epoch */
	char label[RPD_LABEL_MAX]; /* the version of new workers */
	/* With RPD_SERVICE_RUN: the supervisor, or the last one that it had. */
	__u64 supervisor_start; /* clock ticks after boot */
	__u32 supervisor_pid;   /* 0 = none yet */
	__u32 endpoint_changes; /* how often an endpoint was added or removed */
	/* Random: setsockopt() with this key may change the program of a group (guard_abi.h). */
	__u64 guard_key;
	struct rpd_endpoint endpoints[RPD_ENDPOINT_MAX];
};

/* Map "ports", one entry: bit n % 64 of has[n / 64] is set if the service has an endpoint with port
 * n. */
struct rpd_ports {
	__u64 has[65536 / 64];
};

#define RPD_WHY_MAX 256 /* with the final NUL */

/* What the supervisor is doing with a slot. */
enum rpd_run {
	RPD_RUN_NONE,     /* the slot has no supervisor */
	RPD_RUN_STARTING, /* its worker was started and isn't ready yet */
	RPD_RUN_UP,
	RPD_RUN_BACKOFF, /* its worker has ended; the supervisor waits before it starts the next */
	RPD_RUN_FAILED,  /* the supervisor has given up on it */
	RPD_RUN_STOPPED, /* by the user; or its worker has ended, and is not to be replaced */
	RPD_RUN_MAX,
};

/*
 * Map "workers", a row for each cell: the worker that is meant to be in it. If a worker gets one
 * more listener, the row is written before the socket array: if the command is killed in between,
 * the next one completes the change.
 */
struct rpd_worker {
	__u64 cookies[RPD_ENDPOINT_MAX]; /* of its listener in each endpoint, 0 = none */
	__u64 start_time;  /* of pid, in clock ticks after boot (proc(5), stat, field 22) */
	__u64 admitted_at; /* seconds since the epoch */
	__u64 admitted_ns; /* the same moment by bpf_ktime_get_ns() */
	__u32 pid;         /* the process that polls the listener, 0 = empty row */
	__s32 fd;          /* its descriptor of the listener, -1 = it listens on nothing */
	__s32 epfd; /* the epoll descriptor that it polls the listener with, -1 = not by epoll */
	__u32 evidence; /* that pid serves the listener (enum evidence, core/listener.h) */
	char comm[RPD_COMM_MAX];
	__u16 account;  /* of its connections, or RPD_ACCOUNT_NONE */
	__u8 run;       /* enum rpd_run: of the slot, not of the worker */
	__u8 ended;     /* run is STOPPED or FAILED since the worker has ended by itself */
	__u32 restarts; /* how many workers of the slot ended and were replaced by the supervisor */
	/* The process that the supervisor has started: pid is this one, or a descendant. */
	__u64 main_start; /* of main_pid, in clock ticks after boot */
	__u32 main_pid;   /* 0 = unknown: the worker was attached */
	__u32 pad2;
	char main_comm[RPD_COMM_MAX];
	/* Of the slot: why its last worker has ended, has failed or is unhealthy, until another
	 * worker is admitted. */
	char why[RPD_WHY_MAX];
};

/*
 * Map "former", by the worker's number: a worker of `run` that is out of its slot and still lives.
 * Only the supervisor writes it; after it has died, rows may be left of workers that have ended.
 */
struct rpd_former {
	__u64 start_time; /* of pid, in clock ticks after boot */
	__u64 since;      /* when it left its slot, seconds since the epoch */
	__u32 pid;        /* of its main process */
	__u16 slot;
	__u16 account; /* of its connections, or RPD_ACCOUNT_NONE */
	__u8 state;    /* enum worker_state */
	__u8 pad[7];
	char comm[RPD_COMM_MAX];
	char label[RPD_LABEL_MAX]; /* its version */
};

#define RPD_FORMER_MAX 16384

_Static_assert(sizeof(struct rpd_slot) == 8, "ABI");
_Static_assert(sizeof(struct rpd_version) == 56, "ABI");
_Static_assert(__builtin_offsetof(struct rpd_schedule, versions) == 40, "ABI");
_Static_assert(sizeof(struct rpd_schedule) == 40 + 56 * 64 + 8 * 1024 + 2 * 1024 + 2 * 4096, "ABI");
_Static_assert(__builtin_offsetof(struct rpd_control, aside) == 64, "ABI");
_Static_assert(__builtin_offsetof(struct rpd_control, active) == 128, "ABI");
_Static_assert(sizeof(struct rpd_control) == 192, "ABI");
_Static_assert(sizeof(struct rpd_load) == 64, "ABI: a cache line");
_Static_assert(sizeof(struct rpd_queue) == 64, "ABI: a cache line");
_Static_assert(sizeof(struct rpd_tally) == 8 * 1026, "ABI");
_Static_assert(sizeof(struct rpd_member) == 8, "ABI");
_Static_assert(sizeof(struct rpd_mark) == 16, "ABI");
_Static_assert(sizeof(struct rpd_probe) == 20, "ABI: a map's key, without a hole");
_Static_assert(sizeof(struct rpd_endpoint) == 32, "ABI");
_Static_assert(sizeof(struct rpd_service) == 48 + 32 + 24 + 32 * 128, "ABI");
_Static_assert(sizeof(struct rpd_worker) == 8 * 128 + 96 + 256, "ABI");
_Static_assert(sizeof(struct rpd_account) == 64, "ABI: a cache line");
_Static_assert(sizeof(struct rpd_former) == 80, "ABI");
_Static_assert(sizeof(struct rpd_rate) == 40, "ABI");
_Static_assert(sizeof(struct rpd_conns) == 64, "ABI: a cache line");
_Static_assert(RPD_ACCOUNT_MAX < RPD_TAG_NONE, "ABI: an account has room in a tag");
_Static_assert(sizeof(struct rpd_found) == 8, "ABI");
_Static_assert(sizeof(struct rpd_open) == 16, "ABI");
_Static_assert(sizeof(struct rpd_group_member) == 32, "ABI");
_Static_assert(sizeof(struct rpd_event) == 64, "ABI");
_Static_assert(sizeof(struct rpd_events) == 104 * 8 + 64 * RPD_EVENT_MAX, "ABI");
_Static_assert((RPD_EVENT_MAX & (RPD_EVENT_MAX - 1)) == 0, "masked, not divided");
_Static_assert((RPD_RING_MAX & (RPD_RING_MAX - 1)) == 0, "masked, not divided");
