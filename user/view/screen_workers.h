/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of workers on the screen of `top`, with a bar for each worker's share. */
#pragma once

#include <stddef.h>

#include "view/screen_pen.h"
#include "view/screen_rows.h"

/* Draws a line of titles and a page of workers from screen->first on; empty lines fill the page. */
void screen_workers_draw(struct screen_pen *pen, const struct screen *screen,
                         const struct screen_row *rows, size_t n);
