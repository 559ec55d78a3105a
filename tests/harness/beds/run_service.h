/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A service as `run` makes it, without the supervisor's program: the case itself is the supervisor.
 * Every function here fails the case if it does not succeed, unless it returns an error.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "check/check.h"
#include "service/service.h"
#include "supervise/parking.h"

#define RUN_SERVICE_NAME  "run"
#define RUN_SERVICE_PORT  8080
#define RUN_SERVICE_SLOTS 4

/* The service and the parking of the case. */
extern struct service run_service;
extern struct parking run_parking;

/* Makes service RUN_SERVICE_NAME, which ends with the case, and prepares for parking. */
void run_service_begin(void);

/* Makes or takes over run_service: returns what service_create() returns. */
int run_service_create(struct error *err);

/* The same with another struct service, as another command has it. */
int run_service_create_as(struct service *service, struct error *err);

/* Opens the service after the case has given up its lock. */
void run_service_reopen(void);

/* Adds an endpoint on the wildcard address. Returns its index. @uid: the user of its workers. */
unsigned int run_service_add(int family, bool v6only, uint16_t port, uint32_t uid);

const struct rpd_endpoint *run_service_endpoint(unsigned int e);

/* Gives the service another supervisor: a new process, which does nothing. @parks: it parks
 * connections. Returns its pid. */
pid_t run_service_other_supervisor(bool parks);
