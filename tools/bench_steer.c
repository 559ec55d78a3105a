/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_steer: what one run of the steering program costs, and how often its ring can be replaced.
 * tools/bench runs it, in a network namespace of its own, and reads its JSON.
 *
 * Each variant is a reuseport group of real listeners with a program attached. Real SYNs reach it
 * over loopback, from client addresses all over 127.0.0.0/8: a raw socket sends them, the listener
 * answers, and as no socket waits for the answer the kernel resets the handshake, all in the same
 * system call. So a SYN costs a few microseconds, runs the program once, and leaves nothing behind.
 *
 * The kernel itself takes the time of every run (BPF_ENABLE_STATS), that of its two clock readings
 * included. A program that does nothing shows the same overhead: it is the one to subtract.
 * Variants take turns, one batch a round, so that a noisy minute hits them all.
 */
#include <argp.h>
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <json-c/json.h>

#include "bench_bare.skel.h"
#include "core/schedule.h"
#include "steer.skel.h"

#define VARIANT_MAX  32
#define SENT_AT_ONCE 64 /* SYNs a system call */
#define FIRST_PORT   20000
#define SETTLE_TRIES 1000
#define SWITCHES     2000 /* ring updates for one figure */

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif

struct variant {
	const char *program; /* a policy, or a program of bench_bare.bpf.c */
	unsigned slots;
	uint16_t port;
	int prog_fd, socks_fd;
	struct steer_bpf *steer;        /* this or `bare` */
	struct rpd_schedule *schedules; /* of `steer`, two of them */
	struct rpd_control *control;
	struct bench_bare_bpf *bare;
	struct json_object *run_ns; /* of each round: mean run of the program */
	struct json_object *syn_ns; /* of each system call: mean time that a SYN took in all */
};

struct counted {
	uint64_t runs, ns;
};

struct syn {
	struct iphdr ip;
	struct tcphdr tcp;
};

struct bench {
	struct variant variants[VARIANT_MAX];
	size_t n_variants;
	unsigned rounds, batch;
	int raw;
	uint32_t random;
};

static uint64_t read_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct json_object *decimal(double value)
{
	struct json_object *number = json_object_new_double(value);

	json_object_set_serializer(number, json_object_double_to_json_string, "%.2f", NULL);
	return number;
}

/* Groups and programs */

static int listener_open(uint16_t port)
{
	const struct sockaddr_in address = {
	        .sin_family = AF_INET,
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	        .sin_port = htons(port),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 4096) < 0)
		err(EXIT_FAILURE, "listener on port %u", port);
	return fd;
}

static void *map_memory(struct bpf_map *map, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (p == MAP_FAILED)
		err(EXIT_FAILURE, "can't map a BPF map");
	return p;
}

static void make_ring(struct rpd_schedule *schedule, unsigned slots, enum rpd_policy policy)
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

static void load_steering(struct variant *variant, enum rpd_policy policy)
{
	variant->steer = steer_bpf__open_and_load();
	if (!variant->steer)
		err(EXIT_FAILURE, "the kernel refused the steering program");
	variant->schedules =
	        map_memory(variant->steer->maps.schedules, 2 * sizeof(*variant->schedules));
	variant->control = map_memory(variant->steer->maps.control, sizeof(*variant->control));
	make_ring(&variant->schedules[0], variant->slots, policy);
	variant->prog_fd = bpf_program__fd(variant->steer->progs.steer);
	variant->socks_fd = bpf_map__fd(variant->steer->maps.socks);
}

static void load_bare(struct variant *variant, const char *name)
{
	variant->bare = bench_bare_bpf__open();
	if (variant->bare)
		variant->bare->rodata->slots = variant->slots;
	if (!variant->bare || bench_bare_bpf__load(variant->bare) < 0)
		err(EXIT_FAILURE, "the kernel refused a bare program");
	variant->prog_fd =
	        bpf_program__fd(bpf_object__find_program_by_name(variant->bare->obj, name));
	variant->socks_fd = bpf_map__fd(variant->bare->maps.socks);
}

static void load_program(struct variant *variant)
{
	if (!strcmp(variant->program, "round-robin"))
		load_steering(variant, RPD_ROUND_ROBIN);
	else if (!strcmp(variant->program, "sticky"))
		load_steering(variant, RPD_STICKY);
	else
		load_bare(variant, variant->program);
}

/* The listeners stay open to the end of the process. */
static void add_variant(struct bench *bench, const char *program, unsigned slots)
{
	struct variant *variant = &bench->variants[bench->n_variants];
	int listener = -1;

	if (bench->n_variants == VARIANT_MAX)
		errx(EXIT_FAILURE, "no more than %d variants", VARIANT_MAX);
	*variant = (struct variant){
	        .program = program,
	        .slots = slots,
	        .port = (uint16_t)(FIRST_PORT + bench->n_variants),
	        .run_ns = json_object_new_array(),
	        .syn_ns = json_object_new_array(),
	};
	bench->n_variants++;
	load_program(variant);
	for (unsigned slot = 0; slot < slots; slot++) {
		uint64_t value;

		listener = listener_open(variant->port);
		value = (uint64_t)listener;
		if (bpf_map_update_elem(variant->socks_fd, &slot, &value, BPF_ANY) < 0)
			err(EXIT_FAILURE, "slot %u", slot);
	}
	if (setsockopt(listener, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &variant->prog_fd,
	               sizeof(variant->prog_fd)) < 0)
		err(EXIT_FAILURE, "can't attach the program");
}

/* SYNs */

static uint32_t next_random(struct bench *bench)
{
	bench->random ^= bench->random << 13;
	bench->random ^= bench->random >> 17;
	bench->random ^= bench->random << 5;
	return bench->random;
}

static uint32_t sum_words(const void *data, size_t len)
{
	const uint16_t *words = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < len / 2; i++)
		sum += words[i];
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

/* From a random client; the kernel fills in the IP header's checksum and length. */
static void syn_init(struct syn *syn, struct bench *bench, uint16_t port)
{
	uint32_t random = next_random(bench);

	*syn = (struct syn){
	        .ip = {.version = 4,
	               .ihl = sizeof(syn->ip) / 4,
	               .ttl = 64,
	               .protocol = IPPROTO_TCP,
	               .saddr = htonl((INADDR_LOOPBACK & 0xff000000) | (random & 0xfffffe) | 1),
	               .daddr = htonl(INADDR_LOOPBACK)},
	        .tcp = {.source = htons((uint16_t)(1024 + next_random(bench) % 60000)),
	                .dest = htons(port),
	                .seq = next_random(bench),
	                .doff = sizeof(syn->tcp) / 4,
	                .syn = 1,
	                .window = htons(64000)},
	};
	syn->tcp.check = fold(sum_words(&syn->ip.saddr, 8) + htons(IPPROTO_TCP) +
	                      htons(sizeof(syn->tcp)) + sum_words(&syn->tcp, sizeof(syn->tcp)));
}

/* Sends some SYNs, and returns how long the sending took: the kernel handles them meanwhile. */
static uint64_t send_syns(struct bench *bench, uint16_t port, unsigned n)
{
	static struct syn syns[SENT_AT_ONCE];
	static struct iovec parts[SENT_AT_ONCE];
	static struct mmsghdr messages[SENT_AT_ONCE];
	uint64_t start;

	for (unsigned i = 0; i < n; i++) {
		syn_init(&syns[i], bench, port);
		parts[i] = (struct iovec){&syns[i], sizeof(syns[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	start = read_ns(CLOCK_MONOTONIC);
	for (unsigned sent = 0; sent < n;) {
		int done = sendmmsg(bench->raw, messages + sent, n - sent, 0);

		if (done < 0 && errno != ENOBUFS && errno != EINTR)
			err(EXIT_FAILURE, "can't send SYNs");
		if (done > 0)
			sent += (unsigned)done;
	}
	return read_ns(CLOCK_MONOTONIC) - start;
}

static struct counted read_stats(int prog_fd)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(prog_fd, &info, &size) < 0)
		err(EXIT_FAILURE, "can't read the program's run time");
	return (struct counted){info.run_cnt, info.run_time_ns};
}

/* One batch. */
static void measure(struct bench *bench, struct variant *variant, bool keep)
{
	struct counted before = read_stats(variant->prog_fd), after = before;

	for (unsigned left = bench->batch; left > 0;) {
		unsigned n = left < SENT_AT_ONCE ? left : SENT_AT_ONCE;
		uint64_t ns = send_syns(bench, variant->port, n);

		if (keep)
			json_object_array_add(variant->syn_ns, decimal((double)ns / n));
		left -= n;
	}
	/* ksoftirqd may still be at the last ones. */
	for (int i = 0; i < SETTLE_TRIES; i++) {
		after = read_stats(variant->prog_fd);
		if (after.runs - before.runs >= bench->batch)
			break;
		usleep(1000);
	}
	if (after.runs - before.runs != bench->batch)
		errx(EXIT_FAILURE, "%s at %u slots: %u SYNs, but %ju runs", variant->program,
		     variant->slots, bench->batch, (uintmax_t)(after.runs - before.runs));
	if (keep)
		json_object_array_add(variant->run_ns,
		                      decimal((double)(after.ns - before.ns) / bench->batch));
}

static struct json_object *measure_runs(struct bench *bench)
{
	struct json_object *all = json_object_new_array();
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);

	if (stats < 0)
		err(EXIT_FAILURE, "can't turn on BPF run time statistics");
	for (unsigned round = 0; round <= bench->rounds; round++) /* the first one warms up */
		for (size_t i = 0; i < bench->n_variants; i++)
			measure(bench, &bench->variants[(i + round) % bench->n_variants],
			        round > 0);
	close(stats);
	for (size_t i = 0; i < bench->n_variants; i++) {
		struct json_object *one = json_object_new_object();
		const struct variant *variant = &bench->variants[i];

		json_object_object_add(one, "program", json_object_new_string(variant->program));
		json_object_object_add(one, "slots", json_object_new_int((int)variant->slots));
		json_object_object_add(one, "run_ns", variant->run_ns);
		json_object_object_add(one, "syn_ns", variant->syn_ns);
		json_object_array_add(all, one);
	}
	return all;
}

static void compute(const struct variant *variant, struct rpd_schedule *draft)
{
	(void)variant;
	schedule_build(draft);
}

/* Where it is not in force; then the word is flipped. */
static void write_and_flip(const struct variant *variant, struct rpd_schedule *draft)
{
	uint32_t next = !variant->control->active;

	variant->schedules[next] = *draft;
	__atomic_store_n(&variant->control->active, next, __ATOMIC_RELEASE);
}

/* CPU time of one call: other programs on the machine don't count. */
static struct json_object *microseconds(void (*step)(const struct variant *, struct rpd_schedule *),
                                        const struct variant *variant, struct rpd_schedule *draft)
{
	uint64_t start = read_ns(CLOCK_THREAD_CPUTIME_ID);

	for (unsigned i = 0; i < SWITCHES; i++)
		step(variant, draft);
	return decimal((double)(read_ns(CLOCK_THREAD_CPUTIME_ID) - start) / 1e3 / SWITCHES);
}

static struct json_object *measure_ring_update(const struct variant *variant)
{
	static struct rpd_schedule draft;
	struct json_object *result = json_object_new_object();

	make_ring(&draft, variant->slots, RPD_ROUND_ROBIN);
	json_object_object_add(result, "slots", json_object_new_int((int)variant->slots));
	json_object_object_add(result, "compute_us", microseconds(compute, variant, &draft));
	json_object_object_add(result, "write_us", microseconds(write_and_flip, variant, &draft));
	return result;
}

/* Set-up */

static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILURE, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILURE, "setrlimit");
}

static int raw_socket(void)
{
	const struct sockaddr_in here = {
	        .sin_family = AF_INET,
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW), size = 1 << 20;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ||
	    connect(fd, (const struct sockaddr *)&here, sizeof(here)) < 0)
		err(EXIT_FAILURE, "raw socket");
	return fd;
}

static unsigned parse_number(const char *text, unsigned max, struct argp_state *state)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value < 1 || value > max)
		argp_error(state, "%s is not a number from 1 to %u", text, max);
	return (unsigned)value;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct bench *bench = state->input;

	switch (key) {
	case 'r':
		bench->rounds = parse_number(arg, 10000, state);
		return 0;
	case 'b':
		bench->batch = parse_number(arg, 100000, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option option_table[] = {
        {"rounds", 'r', "N", 0, "Batches of each variant (default 40)", 0},
        {"batch", 'b', "N", 0, "SYNs in each batch (default 2048)", 0},
        {0},
};

static const struct argp parser = {
        .options = option_table,
        .parser = parse_option,
        .doc = "Measures the steering program on real SYNs, and prints JSON. Run it in a network "
               "namespace of its own, loopback up; `tools/bench` does.",
};

int main(int argc, char **argv)
{
	static const unsigned sizes[] = {1, 8, 64, 512, RPD_SLOT_MAX};
	static const char *const programs[] = {"empty", "in_turn", "round-robin", "by_hash",
	                                       "sticky"};
	static struct bench bench = {.rounds = 40, .batch = 2048, .random = 2463534242};
	struct json_object *result = json_object_new_object(), *updates = json_object_new_array();

	argp_parse(&parser, argc, argv, 0, NULL, &bench);
	raise_fd_limit();
	bench.raw = raw_socket();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (size_t p = 0; p < sizeof(programs) / sizeof(*programs); p++)
			add_variant(&bench, programs[p], sizes[i]);
	json_object_object_add(result, "runs", measure_runs(&bench));
	for (size_t i = 0; i < bench.n_variants; i++)
		if (!strcmp(bench.variants[i].program, "round-robin"))
			json_object_array_add(updates, measure_ring_update(&bench.variants[i]));
	json_object_object_add(result, "ring_updates", updates);
	puts(json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN));
	json_object_put(result);
	for (size_t i = 0; i < bench.n_variants; i++) {
		steer_bpf__destroy(bench.variants[i].steer);
		bench_bare_bpf__destroy(bench.variants[i].bare);
	}
	return EXIT_SUCCESS;
}
