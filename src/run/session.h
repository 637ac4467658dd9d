/* A generation into a folder: group after group, kept as it goes, so that it can be stopped at any time and continued;
 * then verified, where asked, graded and written up. */
#ifndef EQ_RUN_SESSION_H
#define EQ_RUN_SESSION_H

#include "run/folder.h"
#include "run/image_pool.h"
#include "run/verify.h"

typedef struct eq_session {
    eq_pipeline *pipeline;
    eq_generate_options options; /* progress counts the steps of all images, those of earlier sessions included */
    const eq_targets *targets;
    const char *out;
    const char *command;       /* the command line, for run.json; NULL: not known */
    bool resume;               /* continue what is in `out`, if there is something */
    bool replace;              /* an earlier run in `out` goes */
    bool calibrate;            /* options.strength is to be found first; a continued run keeps the one it has */
    double checkpoint_seconds; /* between checkpoints within a group; 0: only when stopped */
    eq_classifier *evaluator;  /* grades; NULL: nobody does */
    const char *evaluator_name;
    eq_classifier *verifier; /* labels, so that images beyond the quotas can be replaced; NULL: nobody does */
    const char *verifier_name;
    double verify_limit; /* images to draw in addition, at most, a multiple of the count; of method rejection, too. 0:
                            3, of rejection 20 */
    eq_image_pool *pool; /* of images that other runs of method rejection drew with these options for other targets;
                            gets those of this one; NULL: there is none */
    bool allow_self_grading; /* the evaluator may be the classifier that guides or rejects, with a warning */
    /* Told when another kind of work begins: "calibrating", "generating", "replacing", "labelling". May be NULL. */
    void (*stage)(void *user, const char *doing);
    void *stage_user;
} eq_session;

typedef struct eq_session_result {
    bool was_finished; /* the folder was complete: nothing was done, and the rest is empty */
    eq_generation generation;
    eq_verification verification;
    bool graded;
    eq_grade grade;
} eq_session_result;

/* EQ_CANCELLED, and other failures of a run that has begun: the folder keeps the finished images and a checkpoint.
 * EQ_BAD_USAGE: `out` holds something else, or a run that was begun with other settings. Quotas that could not be met
 * are no failure here: see the result. Freed with eq_session_result_free, also after a failure. */
eq_status eq_session_run(const eq_session *session, eq_session_result *out);
void eq_session_result_free(eq_session_result *result);

#endif
