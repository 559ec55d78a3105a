/* SPDX-License-Identifier: BSD-2-Clause */
/* The names of services. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include <reuseportd/abi.h>

/* Checks a service name: a letter, then letters, digits, '-' and '_' (bpffs refuses '.'). Otherwise
 * error_usage(). */
int service_name_check(const char *service, struct error *err);

/* Begins the names of the services that `doctor` starts to try `run`. No command lists them. */
#define SERVICE_NAME_TRIAL "doctor-trial-"
bool service_name_is_trial(const char *service);

/* Makes the name PROGRAM-PORT, or PROGRAM if @port is 0. Characters that a name can't have become
 * '-'; a long @program is cut. */
void service_name_derive(const char *program, uint16_t port, char ret[RPD_LABEL_MAX]);
