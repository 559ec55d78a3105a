/* SPDX-License-Identifier: BSD-2-Clause */
/* The answers of commands that have only their outcome to report. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

/* Prints {service, status: 0} in one line: the supervisor has carried out a command. There is no
 * text, because the supervisor's lines report the outcome. */
void outcome_view_print_done(FILE *out, const char *service);

/* {service, detached, replaced}: `detach` has removed the pins. @everywhere: the program is off
 * every group as well. @replaced: a group has another program. The caller owns it. */
struct json_object *outcome_view_new_detached(const char *service, bool everywhere, bool replaced);
void outcome_view_print_detached(FILE *out, struct json_object *view);

/* The last line of a command that follows a service until another command detaches it. */
void outcome_view_print_end(FILE *out, const char *service);
