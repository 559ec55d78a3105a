/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of the apps of a PM2 file, and of their services. PM2 accepts any name, several apps of
 * one name, and apps without a name. The name of a service depends on nothing but the file.
 */
#pragma once

#include <json-c/json.h>

#include "config/load.h"

struct pm2_name {
	char *app; /* in PM2 */
	char service[RPD_LABEL_MAX];
};

/* Names @n apps, which may be other values than objects. Returns an array that pm2_name_free()
 * frees, or NULL if memory is short. */
struct pm2_name *pm2_name_new(const struct load_file *file, struct json_object *const *apps,
                              size_t n);
void pm2_name_free(struct pm2_name *names, size_t n);
