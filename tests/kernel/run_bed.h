/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A service that is run, without its supervisor's program: the case is the supervisor, and starts
 * and kills workers, which are processes that answer a line with how much they have read.
 */
#pragma once

#include <sys/types.h>

#include "service/admit.h"
#include "supervise/parking.h"
#include "service/service.h"
#include "steer_bed.h"

#define RUN_PORT     8080
#define RUN_NAME     "run"
#define RUN_SLOTS    4
#define RUN_PIDS_MAX 64

struct run_worker {
	pid_t pid;
	struct holder owner;
	struct listener listeners[RPD_ENDPOINT_MAX];
	struct newcomer newcomer; /* points into the above */
};

/* Ends what an earlier case has left, and makes service RUN_NAME. @service is
 * closed, or that of the earlier case. */
void run_begin(struct service *service);

/* Another one by the same plan: what service_create() returns; @err is set if that is negative. */
int run_create(struct service *service, struct error *err);

/* Opens the service anew, as after the case has given up its lock. */
void run_reopen(struct service *service);

/* Adds an endpoint on the wildcard address, and returns its index. */
unsigned int run_endpoint(struct service *service, int family, bool v6only, uint16_t port,
                          uint32_t uid);

/* Starts a process, of the endpoints' user, that listens on those endpoints of which the bits are
 * set, and finds its listeners. */
void run_start(struct service *service, unsigned int endpoints, struct run_worker *ret);

/* Starts one, puts it into the slot, and hands over what was parked. Returns how many those were.
 */
int run_admit(struct service *service, struct parking *parking, unsigned int slot,
              struct run_worker *ret);

/* SIGKILL, and waits for the end. */
void run_kill(pid_t pid);

/* Forks; the child dies with us, or by run_begin(). It has no descriptor of ours, above all none of
 * a listener, whose queue would not migrate then; but @keep, if not -1, as its standard input. */
pid_t run_fork(int keep);

/* A client over loopback that has connected to the endpoint, or a negative errno. */
int run_connect(const struct rpd_endpoint *endpoint);

/* Sends @n bytes, the last one of them the end of a line. */
void run_send(int fd, size_t n);

/* Reads the answer and closes. Returns how many bytes the worker says it has read, or a negative
 * errno. @ret_pid (or NULL): of the worker. */
long run_answer(int fd, pid_t *ret_pid);
