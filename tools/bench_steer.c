/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_steer: measures what the steering program adds to the cost of a SYN, and how often its ring
 * can be replaced. tools/bench runs it in a network namespace and reads its JSON.
 *
 * A group of real listeners gets real SYNs over loopback, from client addresses all over
 * 127.0.0.0/8. An empty program and the steering program are attached to it in turns, and the whole
 * time that the kernel spends on a SYN is measured. The kernel's run time of the program alone
 * would mislead: with many listeners the chosen one is not in the CPU's cache, and the code that
 * reads it first waits for it. The steering program waits within its run time. With an empty
 * program the kernel's hash picks one of as many listeners, and the same wait follows the run.
 *
 * The difference is a hundredth of the time of a SYN, so all else must be equal and short: the same
 * listeners, in turns of a few SYNs. Each listener has a handshake under way that does not end, and
 * no place for another one: the kernel drops each SYN after it has found and read the listener. A
 * dropped SYN needs no memory, timer or answer, and leaves nothing behind. Accept queues are empty.
 *
 * Afterwards the kernel's run time of the program is measured (BPF_ENABLE_STATS), which also shows
 * that each SYN causes exactly one run.
 */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <json-c/json.h>

#include "bench_empty.skel.h"
#include "bench_syn.h"
#include "core/schedule.h"
#include "core/schedule_version.h"
#include "kern/steer_queues.h"
#include "steer.skel.h"

#define GROUPS       5
#define EACH         16   /* SYNs per listener, to find the listeners that get any */
#define CLOCKED      2048 /* SYNs in a turn that measures the run time ... */
#define CLOCKED_EACH 150  /* ... one such turn for so many rounds */
#define FIRST_PORT   20000
#define SETTLE_TRIES 1000
#define SWITCHES     2000 /* ring updates for one figure */

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif

/* The programs that are attached to a group in turns. */
enum side {
	EMPTY,       /* does nothing: the kernel's hash picks */
	ROUND_ROBIN, /* the steering program */
	STICKY,
	SKIP_STUCK, /* round robin; no worker is stuck */
	LEAST_CONNECTIONS,
	SIDE_MAX,
};

static const char *const side_names[SIDE_MAX] = {"empty", "round-robin", "sticky", "skip-stuck",
                                                 "least-connections"};

/* Listeners on one port, the same for each side. */
struct group {
	unsigned slots;
	uint16_t port;
	int listeners[RPD_SLOT_MAX]; /* by slot */
	struct steer_bpf *steer;
	struct rpd_schedule *schedules; /* [1]: the ring of STICKY; [0]: that of the others */
	struct rpd_control *control;
	struct json_object *syn_ns[SIDE_MAX]; /* for each turn: mean time of a SYN */
	struct json_object *run_ns[SIDE_MAX]; /* for each turn: mean run time of the program */
};

struct counted {
	uint64_t runs, ns;
};

struct bench {
	struct group groups[GROUPS];
	struct bench_empty_bpf *empty;
	unsigned rounds;
	struct syn_sender sender;
};

static struct json_object *bench_steer_decimal(double value)
{
	struct json_object *number = json_object_new_double(value);

	json_object_set_serializer(number, json_object_double_to_json_string, "%.2f", NULL);
	return number;
}

/* Groups and programs */

static int bench_steer_open_listener(uint16_t port)
{
	const struct sockaddr_in address = {
	        .sin_family = AF_INET,
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	        .sin_port = htons(port),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 0) < 0)
		err(EXIT_FAILURE, "listener on port %u", port);
	return fd;
}

static void *bench_steer_map_memory(struct bpf_map *map, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (p == MAP_FAILED)
		err(EXIT_FAILURE, "can't map a BPF map");
	return p;
}

static void bench_steer_make_ring(struct rpd_schedule *schedule, unsigned slots,
                                  enum rpd_policy policy)
{
	int version;

	schedule_init(schedule);
	version = schedule_version_add(schedule, RPD_FIRST_LABEL);
	schedule->policy = policy;
	schedule->n_slots = (uint16_t)slots;
	for (unsigned slot = 0; slot < slots; slot++)
		schedule->slots[slot] = (struct rpd_slot){
		        .weight = RPD_WEIGHT_BASE,
		        .state = RPD_SLOT_ACTIVE,
		        .version = (uint8_t)version,
		};
	schedule_build(schedule);
}

static void bench_steer_load_steering(struct group *group)
{
	struct rpd_members_at at;

	if (!steer_queues_find_members(&at))
		errx(EXIT_FAILURE, "the kernel lets no program see a queue");
	group->steer = steer_bpf__open();
	if (!group->steer)
		err(EXIT_FAILURE, "can't open the steering program");
	group->steer->rodata->kernel_at = at;
	if (steer_bpf__load(group->steer) < 0)
		err(EXIT_FAILURE, "the kernel refused the steering program");
	group->schedules =
	        bench_steer_map_memory(group->steer->maps.schedules, 2 * sizeof(*group->schedules));
	group->control =
	        bench_steer_map_memory(group->steer->maps.control, sizeof(*group->control));
	bench_steer_make_ring(&group->schedules[0], group->slots, RPD_ROUND_ROBIN);
	bench_steer_make_ring(&group->schedules[1], group->slots, RPD_STICKY);
}

/* Attaches the program of one side, and returns its descriptor. */
static int bench_steer_attach_side(struct bench *bench, struct group *group, enum side side)
{
	int prog_fd = bpf_program__fd(side == EMPTY ? bench->empty->progs.empty
	                                            : group->steer->progs.steer);

	group->schedules[0].policy =
	        side == LEAST_CONNECTIONS ? RPD_LEAST_CONNECTIONS : RPD_ROUND_ROBIN;
	group->schedules[0].stuck_after = side == SKIP_STUCK ? RPD_TICKS_MAX : 0;
	group->control->active = side == STICKY;
	if (setsockopt(group->listeners[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &prog_fd,
	               sizeof(prog_fd)) < 0)
		err(EXIT_FAILURE, "can't attach the program");
	return prog_fd;
}

/* Begins a handshake with each listener, by round robin, from a client that receives nothing. The
 * clients stay open until the process ends. */
static void bench_steer_begin_handshakes(const struct group *group)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog filter = {.len = 1, .filter = &nothing};
	struct sockaddr_in address;
	socklen_t len = sizeof(address);

	if (getsockname(group->listeners[0], (struct sockaddr *)&address, &len) < 0)
		err(EXIT_FAILURE, "getsockname");
	for (unsigned i = 0; i < group->slots; i++) {
		const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0 ||
		    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ||
		    connect(fd, (const struct sockaddr *)&address, len) == 0 ||
		    errno != EINPROGRESS)
			err(EXIT_FAILURE, "handshake %u with port %u", i, group->port);
	}
}

static void bench_steer_shuffle(struct bench *bench, int *values, unsigned n)
{
	for (unsigned left = n; left > 1; left--) {
		unsigned other = bench_syn_random(&bench->sender) % left;
		int value = values[left - 1];

		values[left - 1] = values[other];
		values[other] = value;
	}
}

/* The listeners stay open until the process ends. */
static void bench_steer_open_group(struct bench *bench, struct group *group, unsigned slots,
                                   uint16_t port)
{
	int *fds = group->listeners;

	*group = (struct group){.slots = slots, .port = port};
	bench_steer_load_steering(group);
	for (unsigned slot = 0; slot < slots; slot++)
		fds[slot] = bench_steer_open_listener(port);
	/* The listeners of a real server are not in memory in the order of their slots. */
	bench_steer_shuffle(bench, fds, slots);
	for (unsigned slot = 0; slot < slots; slot++) {
		uint64_t value = (uint64_t)fds[slot];

		if (bpf_map_update_elem(bpf_map__fd(group->steer->maps.socks), &slot, &value,
		                        BPF_ANY) < 0)
			err(EXIT_FAILURE, "slot %u", slot);
	}
	bench_steer_attach_side(bench, group, ROUND_ROBIN);
	bench_steer_begin_handshakes(group);
	for (int side = 0; side < SIDE_MAX; side++) {
		group->syn_ns[side] = json_object_new_array();
		group->run_ns[side] = json_object_new_array();
	}
}

/* Measuring */

static struct counted bench_steer_read_stats(int prog_fd)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(prog_fd, &info, &size) < 0)
		err(EXIT_FAILURE, "can't read the program's run time");
	return (struct counted){info.run_cnt, info.run_time_ns};
}

static uint32_t bench_steer_count_drops(int listener)
{
	uint32_t info[SK_MEMINFO_VARS] = {};
	socklen_t len = sizeof(info);

	if (getsockopt(listener, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
		err(EXIT_FAILURE, "SO_MEMINFO");
	return info[SK_MEMINFO_DROPS];
}

/* The number of listeners that get SYNs. */
static unsigned bench_steer_count_reached(struct bench *bench, struct group *group, enum side side)
{
	uint32_t before[RPD_SLOT_MAX];
	unsigned n = 0;

	bench_steer_attach_side(bench, group, side);
	for (unsigned slot = 0; slot < group->slots; slot++)
		before[slot] = bench_steer_count_drops(group->listeners[slot]);
	for (unsigned sent = 0; sent < EACH * group->slots; sent += SYN_BATCH)
		bench_syn_send(&bench->sender, group->port);
	/* ksoftirqd may still be handling the last SYNs. */
	for (unsigned i = 0; i < SETTLE_TRIES && n < group->slots; i++) {
		if (i > 0)
			usleep(1000);
		n = 0;
		for (unsigned slot = 0; slot < group->slots; slot++)
			n += bench_steer_count_drops(group->listeners[slot]) != before[slot];
	}
	return n;
}

static void bench_steer_time_syns(struct bench *bench, struct group *group, enum side side)
{
	uint64_t ns;

	bench_steer_attach_side(bench, group, side);
	ns = bench_syn_send(&bench->sender, group->port);
	json_object_array_add(group->syn_ns[side], bench_steer_decimal((double)ns / SYN_BATCH));
}

static void bench_steer_clock_runs(struct bench *bench, struct group *group, enum side side)
{
	int prog_fd = bench_steer_attach_side(bench, group, side);
	struct counted before = bench_steer_read_stats(prog_fd), after = before;
	uint64_t runs;

	for (unsigned sent = 0; sent < CLOCKED; sent += SYN_BATCH)
		bench_syn_send(&bench->sender, group->port);
	/* ksoftirqd may still be handling the last SYNs. */
	for (int i = 0; i < SETTLE_TRIES; i++) {
		after = bench_steer_read_stats(prog_fd);
		if (after.runs - before.runs >= CLOCKED)
			break;
		usleep(1000);
	}
	runs = after.runs - before.runs;
	/* The kernel drops some SYNs where its queue for the CPU is full. */
	if (runs > CLOCKED || runs < CLOCKED - CLOCKED / 10)
		errx(EXIT_FAILURE, "%s at %u slots: %d SYNs, but %ju runs", side_names[side],
		     group->slots, CLOCKED, (uintmax_t)runs);
	json_object_array_add(group->run_ns[side],
	                      bench_steer_decimal((double)(after.ns - before.ns) / (double)runs));
}

/* The order of the sides is random in each round: a side may find more in the CPU's cache after one
 * than after another. */
static void bench_steer_take_turns(struct bench *bench, unsigned rounds,
                                   void (*measure)(struct bench *, struct group *, enum side))
{
	int order[SIDE_MAX];

	for (int side = 0; side < SIDE_MAX; side++)
		order[side] = side;
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned i = 0; i < GROUPS; i++) {
			bench_steer_shuffle(bench, order, SIDE_MAX);
			for (unsigned turn = 0; turn < SIDE_MAX; turn++)
				measure(bench, &bench->groups[i], (enum side)order[turn]);
		}
}

static struct json_object *bench_steer_side_result(struct bench *bench, struct group *group,
                                                   enum side side)
{
	struct json_object *one = json_object_new_object();

	json_object_object_add(one, "program", json_object_new_string(side_names[side]));
	json_object_object_add(one, "slots", json_object_new_int((int)group->slots));
	json_object_object_add(
	        one, "reached",
	        json_object_new_int((int)bench_steer_count_reached(bench, group, side)));
	json_object_object_add(one, "syn_ns", group->syn_ns[side]);
	json_object_object_add(one, "run_ns", group->run_ns[side]);
	return one;
}

static struct json_object *bench_steer_measure_sides(struct bench *bench)
{
	struct json_object *all = json_object_new_array();
	int stats;

	bench_steer_take_turns(bench, bench->rounds, bench_steer_time_syns);
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (stats < 0)
		err(EXIT_FAILURE, "can't turn on BPF run time statistics");
	bench_steer_take_turns(bench, 2 + bench->rounds / CLOCKED_EACH, bench_steer_clock_runs);
	close(stats);
	for (unsigned i = 0; i < GROUPS; i++)
		for (unsigned side = 0; side < SIDE_MAX; side++)
			json_object_array_add(
			        all, bench_steer_side_result(bench, &bench->groups[i], side));
	return all;
}

static void bench_steer_compute_ring(const struct group *group, struct rpd_schedule *draft)
{
	schedule_build(draft);
}

/* Writes the schedule that is not active, then activates it. */
static void bench_steer_write_ring(const struct group *group, struct rpd_schedule *draft)
{
	uint32_t next = !group->control->active;

	group->schedules[next] = *draft;
	__atomic_store_n(&group->control->active, next, __ATOMIC_RELEASE);
}

/* The mean CPU time of a call of @step, in us; other programs on the machine don't affect it. */
static struct json_object *
bench_steer_time_step(void (*step)(const struct group *, struct rpd_schedule *),
                      const struct group *group, struct rpd_schedule *draft)
{
	uint64_t start = bench_syn_clock_ns(CLOCK_THREAD_CPUTIME_ID);

	for (unsigned i = 0; i < SWITCHES; i++)
		step(group, draft);
	return bench_steer_decimal((double)(bench_syn_clock_ns(CLOCK_THREAD_CPUTIME_ID) - start) /
	                           1e3 / SWITCHES);
}

static struct json_object *bench_steer_measure_ring_update(const struct group *group)
{
	static struct rpd_schedule draft;
	struct json_object *result = json_object_new_object();

	bench_steer_make_ring(&draft, group->slots, RPD_ROUND_ROBIN);
	json_object_object_add(result, "slots", json_object_new_int((int)group->slots));
	json_object_object_add(result, "compute_us",
	                       bench_steer_time_step(bench_steer_compute_ring, group, &draft));
	json_object_object_add(result, "write_us",
	                       bench_steer_time_step(bench_steer_write_ring, group, &draft));
	return result;
}

/* Set-up */

static void bench_steer_raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILURE, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILURE, "setrlimit");
}

/* The kernel handles packets over loopback on the sender's CPU. */
static void bench_steer_pin_to_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		err(EXIT_FAILURE, "sched_setaffinity");
}

static unsigned bench_steer_parse_number(const char *text, unsigned max, struct argp_state *state)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value < 1 || value > max)
		argp_error(state, "%s is not a number from 1 to %u", text, max);
	return (unsigned)value;
}

static error_t bench_steer_parse_option(int key, char *arg, struct argp_state *state)
{
	struct bench *bench = state->input;

	switch (key) {
	case 'r':
		bench->rounds = bench_steer_parse_number(arg, 100000, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option option_table[] = {
        {"rounds", 'r', "N", 0,
         "Measure N turns of each program at each number of slots (default 3000)", 0},
        {0},
};

static const struct argp parser = {
        .options = option_table,
        .parser = bench_steer_parse_option,
        .doc = "Measures the steering program on real SYNs and prints JSON. Run it in a separate "
               "network namespace, as `tools/bench` does.",
};

int main(int argc, char **argv)
{
	static const unsigned sizes[GROUPS] = {1, 8, 64, 512, RPD_SLOT_MAX};
	static struct bench bench = {.rounds = 3000};
	struct json_object *result = json_object_new_object(), *updates = json_object_new_array();

	argp_parse(&parser, argc, argv, 0, NULL, &bench);
	bench_steer_raise_fd_limit();
	bench_steer_pin_to_cpu();
	bench_syn_init_sender(&bench.sender);
	bench.empty = bench_empty_bpf__open_and_load();
	if (!bench.empty)
		err(EXIT_FAILURE, "the kernel refused an empty program");
	for (size_t i = 0; i < GROUPS; i++)
		bench_steer_open_group(&bench, &bench.groups[i], sizes[i],
		                       (uint16_t)(FIRST_PORT + i));
	json_object_object_add(result, "runs", bench_steer_measure_sides(&bench));
	for (size_t i = 0; i < GROUPS; i++)
		json_object_array_add(updates, bench_steer_measure_ring_update(&bench.groups[i]));
	json_object_object_add(result, "ring_updates", updates);
	puts(json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN));
	json_object_put(result);
	for (size_t i = 0; i < GROUPS; i++)
		steer_bpf__destroy(bench.groups[i].steer);
	bench_empty_bpf__destroy(bench.empty);
	return EXIT_SUCCESS;
}
