/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmtest_steering: measures what a run of the steering program costs on this kernel, compared with
 * a program that does nothing, and how often a second its ring can be replaced. Prints a line of
 * JSON, then the last line of a test program.
 *
 * Real SYNs arrive at a group of listeners from addresses all over 127.0.0.0/8, on one or several
 * CPUs at once. The clients have no sockets, so the kernel resets the handshake in the same system
 * call. The kernel measures the time of each run. That time includes two reads of its clock; the
 * program that does nothing shows their cost. The programs take turns, a batch each, so that noise
 * affects all of them.
 */
#include <argp.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <json-c/json.h>
#include <linux/bpf.h>

#include "base/cleanup.h"
#include "core/dealing.h"
#include "core/schedule.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/raw.h"

#define CPU_MAX  64
#define SWITCHES 2000 /* of the ring, for one figure */

#define STUCK_AFTER_NS 5000000 /* of SKIP_STUCK */

static struct {
	unsigned int slots, cpus, rounds, batch;
} options = {.slots = 8, .cpus = 1, .rounds = 20, .batch = 1024};

enum program { EMPTY, ROUND_ROBIN, STICKY, SKIP_STUCK, LEAST_CONNECTIONS, PROGRAM_MAX };

static const char *const program_names[PROGRAM_MAX] = {
        [EMPTY] = "empty",
        [ROUND_ROBIN] = "round-robin",
        [STICKY] = "sticky",
        [SKIP_STUCK] = "skip-stuck",
        [LEAST_CONNECTIONS] = "least-connections",
};

struct sender {
	pthread_t thread;
	pthread_barrier_t *start;
	union socket_address target;
	unsigned int cpu, seed;
	int result;
};

struct counted {
	uint64_t runs, ns;
};

/* 2 instructions: return SK_PASS. */
static int steering_load_empty(void)
{
	const struct bpf_insn code[] = {
	        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = SK_PASS},
	        {.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, load,
	            .expected_attach_type = BPF_SK_REUSEPORT_SELECT_OR_MIGRATE);

	return bpf_prog_load(BPF_PROG_TYPE_SK_REUSEPORT, "empty", "Dual BSD/GPL", code,
	                     sizeof(code) / sizeof(*code), &load);
}

static uint32_t steering_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Sends a batch of SYNs from a CPU. Runs in a thread, so no CHECK may fail here. */
static void *steering_send_batch(void *arg)
{
	struct sender *sender = arg;
	uint32_t random = 2463534242u + sender->seed;
	_cleanup_close_ int fd = raw_open(AF_INET);
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sender->cpu, &cpus);
	sender->result = fd < 0 ? fd : sched_setaffinity(0, sizeof(cpus), &cpus) ? -errno : 0;
	pthread_barrier_wait(sender->start);
	for (unsigned int i = 0; i < options.batch && sender->result == 0; i++) {
		struct raw_packet syn = {.to = sender->target, .flags = RAW_SYN};

		syn.from = socket_address_v4((INADDR_LOOPBACK & 0xff000000u) |
		                             (steering_random(&random) & 0xfffffeu) | 1);
		syn.from.in.sin_port = htons((uint16_t)(1024 + steering_random(&random) % 60000));
		syn.seq = random;
		do
			sender->result = raw_put(fd, &syn);
		while (sender->result == -ENOBUFS || sender->result == -EINTR);
	}
	return NULL;
}

static struct counted steering_read_runs(int fd)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	CHECK_EQ(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	return (struct counted){info.run_cnt, info.run_time_ns};
}

/* Mean time in ns of a run of program @fd, over a batch of SYNs from each CPU. */
static double steering_time_run(struct bed *bed, int fd, unsigned int round)
{
	const unsigned int n = options.cpus * options.batch;
	static struct sender senders[CPU_MAX];
	struct counted before, after;
	pthread_barrier_t start;

	CHECK_EQ(setsockopt(bed->listeners[0].fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &fd,
	                    sizeof(fd)),
	         0);
	bed_grace();
	before = steering_read_runs(fd);
	pthread_barrier_init(&start, NULL, options.cpus);
	for (unsigned int i = 0; i < options.cpus; i++) {
		senders[i] = (struct sender){
		        .start = &start,
		        .target = client_target(bed, 0, AF_INET),
		        .cpu = i,
		        .seed = round * CPU_MAX + i,
		};
		CHECK_EQ(pthread_create(&senders[i].thread, NULL, steering_send_batch, &senders[i]),
		         0);
	}
	for (unsigned int i = 0; i < options.cpus; i++) {
		pthread_join(senders[i].thread, NULL);
		CHECK_EQ(senders[i].result, 0);
	}
	pthread_barrier_destroy(&start);
	/* ksoftirqd may still be handling the last SYNs. */
	CHECK_UNTIL((after = steering_read_runs(fd)).runs - before.runs >= n);
	return (double)(after.ns - before.ns) / (double)(after.runs - before.runs);
}

static struct json_object *steering_number(double value)
{
	struct json_object *it = json_object_new_double(value);

	json_object_set_serializer(it, json_object_double_to_json_string, "%.2f", NULL);
	return it;
}

static void steering_set_program(struct bed *bed, enum program program)
{
	static const enum rpd_policy policies[PROGRAM_MAX] = {
	        [STICKY] = RPD_STICKY,
	        [LEAST_CONNECTIONS] = RPD_LEAST_CONNECTIONS,
	};

	dealing_apply(&(struct dealing){.policy = policies[program],
	                                .skip_stuck = program == SKIP_STUCK ? STUCK_AFTER_NS : 0},
	              &bed->draft);
	bed_apply(bed);
}

/* {program: [nanoseconds of a run, by round]} */
static void steering_measure_runs(struct bed *bed, struct json_object *result)
{
	struct json_object *of[PROGRAM_MAX];
	_cleanup_close_ int empty = steering_load_empty();

	CHECK(empty >= 0);
	for (enum program i = 0; i < PROGRAM_MAX; i++) {
		of[i] = json_object_new_array();
		json_object_object_add(result, program_names[i], of[i]);
	}
	counters_watch_runs(bed);
	for (unsigned int round = 0; round <= options.rounds; round++) /* round 0 warms up */
		for (enum program turn = 0; turn < PROGRAM_MAX; turn++) {
			const enum program i = (turn + round) % PROGRAM_MAX;
			double ns;

			if (i != EMPTY)
				steering_set_program(bed, i);
			ns = steering_time_run(
			        bed, i == EMPTY ? empty : bed->steer.endpoints[0].prog_fd, round);
			if (round > 0)
				json_object_array_add(of[i], steering_number(ns));
		}
}

/* Rings computed and activated per second of CPU time. A command also waits for a grace period. */
static double steering_measure_switches(struct bed *bed)
{
	struct timespec begin, end;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	for (unsigned int i = 0; i < SWITCHES; i++) {
		schedule_build(&bed->draft);
		steer_switch(&bed->steer, &bed->draft);
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	return SWITCHES /
	       ((double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
}

static void steering_measure(void)
{
	struct bed *bed = bed_new();
	struct json_object *result = json_object_new_object();

	bed_start(bed, options.slots);
	json_object_object_add(result, "slots", json_object_new_int((int)options.slots));
	json_object_object_add(result, "cpus", json_object_new_int((int)options.cpus));
	steering_measure_runs(bed, result);
	steering_set_program(bed, ROUND_ROBIN);
	json_object_object_add(result, "switches", steering_number(steering_measure_switches(bed)));
	puts(json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN));
	json_object_put(result);
}

static unsigned int steering_parse_number(const char *text, unsigned int max,
                                          struct argp_state *state)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value < 1 || value > max)
		argp_error(state, "%s is not a number from 1 to %u", text, max);
	return (unsigned int)value;
}

static error_t steering_parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 's':
		options.slots = steering_parse_number(arg, RPD_SLOT_MAX, state);
		return 0;
	case 'c':
		options.cpus = steering_parse_number(arg, CPU_MAX, state);
		return 0;
	case 'r':
		options.rounds = steering_parse_number(arg, 1000, state);
		return 0;
	case 'b':
		options.batch = steering_parse_number(arg, 100000, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option option_table[] = {
        {"slots", 's', "N", 0, "Open N listeners (default 8)"},
        {"cpus", 'c', "N", 0, "Send SYNs on N CPUs at the same time (default 1)"},
        {"rounds", 'r', "N", 0, "Measure N batches of each program (default 20)"},
        {"batch", 'b', "N", 0, "Send N SYNs in a batch from each CPU (default 1024)"},
        {0},
};

static const struct argp parser = {
        .options = option_table,
        .parser = steering_parse_option,
        .doc = "Measures the steering program on real SYNs in its own network namespace. Needs "
               "root.",
};

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {{"steering", steering_measure}};

	argp_parse(&parser, argc, argv, 0, NULL, NULL);
	return check_main(1, argv, cases, ARRAY_SIZE(cases));
}
