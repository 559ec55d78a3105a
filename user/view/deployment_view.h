/* SPDX-License-Identifier: BSD-2-Clause */
/* A deployment, as `deploy` and `rollout` show it (service/deployment_file.h has its members). */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The whole of it: step, share, signals of trouble, and why it has decided what it did. */
void deployment_view_print(FILE *out, struct json_object *deployment);

/* The same for a terminal that shows it again and again. @utf8: draws the bar with block
 * characters. */
void deployment_view_draw(FILE *out, struct json_object *deployment, bool utf8);

/* The same in short: in one line for a pipe, or in lines of 80 columns for `status`. */
void deployment_view_print_line(FILE *out, struct json_object *deployment);
void deployment_view_print_wrapped(FILE *out, struct json_object *deployment);

/* Whether a person wants to know what has changed since @before, which may be NULL: not each count.
 */
bool deployment_view_has_news(struct json_object *deployment, struct json_object *before);

/* A few words, for the screen of `top`. Returns @buf. */
const char *deployment_view_format(struct json_object *deployment, char *buf, size_t size);

/* A table of an array of deployments, the oldest first. */
void deployment_view_print_history(FILE *out, struct json_object *deployments);

/* Whether member @key is @text. */
bool deployment_view_is(struct json_object *deployment, const char *key, const char *text);
/* Whether the deployment has ended. If it has not, whether it waits for a person. */
bool deployment_view_has_ended(struct json_object *deployment);
bool deployment_view_waits(struct json_object *deployment);
/* Whether it is under way, or its workers are held, so that it can be rolled back at once. */
bool deployment_view_is_current(struct json_object *deployment);
