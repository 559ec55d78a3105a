/* SPDX-License-Identifier: BSD-2-Clause */
/* Serves HTTP until SIGTERM or SIGINT: what the commands `web` and `metrics --listen` do. */
#pragma once

#include "base/error.h"
#include "web/http_server.h"

/* @path: what a user opens first. Returns 0, or a negative errno with @err set. */
int web_serve(const struct http_settings *settings, const char *path, struct error *err);
