/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test bed of the check_steer programs: a service with listeners of our own, in a network
 * namespace and a bpffs of our own. It is made and changed by the very functions that the daemon
 * uses; connections are real ones over the loopback device.
 *
 * Every case has a bed of its own, so that counters and cursor begin at 0. A check that fails ends
 * the case, from whatever function of the main thread it is in.
 */
#pragma once

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "kern/pins.h"
#include "kern/steer.h"
#include <reuseportd/abi.h>
#include "slow.h"

#define BED_DEADLINE_S   (10 * slow())
#define BED_LISTENER_MAX 1100

/* ---- Checks ---- */

/* Ends the case. */
__attribute__((noreturn, format(printf, 3, 4))) void check_failed(const char *file, int line,
                                                                  const char *format, ...);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			check_failed(__FILE__, __LINE__, "%s", #condition);                        \
	} while (0)

#define CHECK_EQ(value, wanted)                                                                    \
	do {                                                                                       \
		const long long _is = (long long)(value), _wanted = (long long)(wanted);           \
		if (_is != _wanted)                                                                \
			check_failed(__FILE__, __LINE__, "%s is %lld, not %lld", #value, _is,      \
			             _wanted);                                                     \
	} while (0)

#define CHECK_BETWEEN(value, low, high)                                                            \
	do {                                                                                       \
		const long long _is = (long long)(value), _low = (low), _high = (high);            \
		if (_is < _low || _is > _high)                                                     \
			check_failed(__FILE__, __LINE__, "%s is %lld, not %lld to %lld", #value,   \
			             _is, _low, _high);                                            \
	} while (0)

/* Looks until it is so. */
#define CHECK_COMES(condition)                                                                     \
	do {                                                                                       \
		const int64_t _end = bed_clock_ms() + BED_DEADLINE_S * 1000;                       \
		for (; !(condition); bed_pause())                                                  \
			if (bed_clock_ms() > _end)                                                 \
				check_failed(__FILE__, __LINE__, "%s does not come", #condition);  \
	} while (0)

int64_t bed_clock_ms(void);

/* Lets others run for a moment, between two looks. */
void bed_pause(void);

/* ---- The bed ---- */

/* A listener's index in bed.listeners is its name in the tests. A bed's first workers are opened
 * first, so there it is also the slot. */
struct bed_listener {
	int fd; /* -1 = we have closed it */
	unsigned int endpoint;
	_Atomic unsigned int taken;  /* connections that were accepted from it */
	_Atomic unsigned int newest; /* the highest address_mark() of their clients */
};

struct service_stats;

struct bed {
	struct steer steer;
	struct pins pins;
	struct rpd_schedule draft;
	struct bed_listener listeners[BED_LISTENER_MAX];
	_Atomic unsigned int n_listeners;
	int epfd;                   /* watches all of them */
	int stats_fd;               /* makes the kernel count runs */
	pid_t child;                /* holds a listener */
	struct service_stats *load; /* at work */
};

struct check_case {
	const char *name;
	void (*run)(struct bed *bed);
};

/* Runs the cases, or the one that the environment's RPD_CASE names, each with an empty bed, and
 * says how they went. Returns the exit status. */
int check_run(const struct check_case *cases, size_t n);

/* Loads the program for one more group of listeners on the wildcard address, on a free port.
 * Returns its index. */
unsigned int bed_endpoint(struct bed *bed, int family, bool v6only);

/* A listener of the endpoint's group that is not admitted. Returns its index. */
unsigned int bed_stranger(struct bed *bed, unsigned int endpoint);

/* Puts a listener into @slot; with bed_apply() it is its worker. */
void bed_admit(struct bed *bed, unsigned int listener, unsigned int slot, const char *version);

/* Makes worker @n more slots of version @version, from @first on. */
void bed_workers(struct bed *bed, unsigned int endpoint, unsigned int first, unsigned int n,
                 const char *version);

/* Endpoint 0, IPv4, with @n workers of one version, in force. */
void bed_simple(struct bed *bed, unsigned int n);

/* Builds the draft, puts it in force, and waits until nothing goes by the old one. */
void bed_apply(struct bed *bed);

/* Waits until no run of the program sees what was in force before. */
void bed_grace(void);

/* Drains a slot (RPD_SLOT_DRAINING), or resumes it (RPD_SLOT_ACTIVE), and applies. */
void bed_set_state(struct bed *bed, unsigned int slot, enum rpd_slot_state state);

/* Attaches the endpoint's program to the group. */
void bed_attach(struct bed *bed, unsigned int endpoint);

/* Closes our descriptor of a listener. */
void bed_close(struct bed *bed, unsigned int listener);

/* Leaves a listener to a process of its own, which does not accept: bed->child. */
void bed_give_away(struct bed *bed, unsigned int listener);

/* ---- Counters ---- */

/* A row's counter, of all CPUs; the sum over all rows; the sum of everything. */
uint64_t bed_count(const struct bed *bed, unsigned int row, enum rpd_outcome outcome);
uint64_t bed_total(const struct bed *bed, enum rpd_outcome outcome);
uint64_t bed_sum(const struct bed *bed);

/* Lets the kernel count the programs' runs; those that it has counted of all endpoints. */
void bed_watch_runs(struct bed *bed);
uint64_t bed_runs(const struct bed *bed);

/* ---- The environment ---- */

/* Writes a net.* sysctl of our namespace, such as "ipv4/tcp_syncookies". */
void bed_sysctl(const char *name, int value);

/* Gives the loopback device one more IPv6 address. */
void bed_add_address(const struct in6_addr *a);
