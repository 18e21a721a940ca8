/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_REPORT_H
#define RH_DRILL_REPORT_H

/*
 * The report of a drill: one HTML page that needs nothing beside itself. The page is written in
 * drill/report/ (page.html, style.css and the scripts) and compiled in; what it draws is the result
 * of the drill, which stands in it as JSON. Whoever has the page has the numbers.
 */

#include "base/error.h"

#include <jansson.h>

/*
 * Writes the page that shows |result| (borrowed) to the file |path|, which is overwritten. No text in
 * |result| can end the script element it stands in. RH_ERR_IO with a reason that names |path|: it
 * cannot be opened or written to; what was written until then is left there.
 */
RH_MUST_CHECK int rh_drill_report_write(const char *path, const json_t *result,
                                        struct rh_reason *reason);

#endif
