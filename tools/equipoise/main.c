/* The command line: finds the command, parses, runs, and turns the status into a line on stderr and an exit code. */
#include <omp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "threads.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_BAD_USAGE = 2, EXIT_BAD_INPUT = 3, MOST_NAMES = 128 };

/* What signal handlers can reach. */
static eq_context *interrupted_context;
static volatile sig_atomic_t interrupted;

/* The first signal asks for a stop at the next safe point, the second one ends the process as it would have. */
static void interrupt(int number)
{
    if (interrupted) {
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    interrupted = 1;
    eq_cancel(interrupted_context);
}

static void catch_signals(eq_context *ctx)
{
    interrupted_context = ctx;
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    /* Shells start background work with SIGINT ignored; that is to stay so. */
    struct sigaction inherited;
    if (sigaction(SIGINT, NULL, &inherited) == 0 && inherited.sa_handler != SIG_IGN)
        sigaction(SIGINT, &action, NULL);
}

static int exit_code(eq_status status)
{
    switch (status) {
    case EQ_OK: return EXIT_DONE;
    case EQ_BAD_USAGE: return EXIT_BAD_USAGE;
    case EQ_BAD_INPUT: return EXIT_BAD_INPUT;
    case EQ_FAILED:
    case EQ_NO_MEMORY:
    case EQ_IO_ERROR:
    case EQ_CANCELLED: return EXIT_FAILED;
    }
    return EXIT_FAILED;
}

/* One line, whatever the message quotes. */
static void print_error(const char *message)
{
    fputs("equipoise: ", stderr);
    for (; *message; message++)
        fputc((unsigned char)*message < ' ' || *message == 127 ? '?' : *message, stderr);
    fputc('\n', stderr);
}

/* Reports what may have been meant: of whole names where two words were given, of first words otherwise. */
static eq_status unknown_command(eq_context *ctx, int argc, char **argv)
{
    const char *names[MOST_NAMES], *firsts[MOST_NAMES];
    char words[MOST_NAMES][32], both[96];
    int count = 0;
    for (; eq_commands[count] && count < MOST_NAMES; count++) {
        const char *name = eq_commands[count]->name;
        snprintf(words[count], sizeof words[count], "%.*s", (int)strcspn(name, " "), name);
        firsts[count] = words[count];
        names[count] = name;
    }
    bool two = argc > 1 && argv[1][0] != '-';
    snprintf(both, sizeof both, "%.40s%s%.40s", argv[0], two ? " " : "", two ? argv[1] : "");
    const char *nearest = eq_nearest(both, names, count);
    if (nearest && two)
        return eq_fail(ctx, EQ_BAD_USAGE, "unknown command '%s'; did you mean '%s'?", both, nearest);
    if (eq_command_is_group(argv[0]))
        return eq_fail(ctx, EQ_BAD_USAGE, "unknown command '%s'; 'equipoise %s --help' lists them", both, argv[0]);
    nearest = eq_nearest(argv[0], firsts, count);
    if (nearest)
        return eq_fail(ctx, EQ_BAD_USAGE, "unknown command '%.100s'; did you mean '%s'?", argv[0], nearest);
    return eq_fail(ctx, EQ_BAD_USAGE, "unknown command '%.100s'; 'equipoise --help' lists them", argv[0]);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static eq_status run_command(eq_context *ctx, const eq_command *command, int argc, char **argv)
{
    eq_progress progress = eq_progress_new(false);
    eq_invocation call = {.ctx = ctx, .progress = &progress};
    eq_status status = eq_invocation_open(&call, command, argc, argv);
    if (status == EQ_OK && call.common.help) {
        eq_help_command(stdout, command);
    } else if (status == EQ_OK) {
        progress.quiet = call.common.quiet;
        eq_set_log(ctx, eq_progress_log, &progress);
        if (call.common.threads > 0)
            omp_set_num_threads((int)call.common.threads);
        eq_set_threads(ctx, omp_get_max_threads());
        status = command->run(&call);
        eq_progress_end(&progress);
        eq_set_log(ctx, NULL, NULL);
    }
    eq_invocation_close(&call);
    return status;
}

/* argv: the words after the program's name. */
static eq_status dispatch(eq_context *ctx, int argc, char **argv)
{
    int words;
    if (argc == 0 || is_help(argv[0])) {
        eq_help_overview(stdout);
        return EQ_OK;
    }
    if (strcmp(argv[0], "--version") == 0) {
        printf("equipoise %s\n", EQUIPOISE_VERSION);
        return EQ_OK;
    }
    if (argv[0][0] == '-')
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "unknown option '%.100s'; the command comes first: equipoise COMMAND [options]", argv[0]);
    const eq_command *command = eq_command_find(argc, argv, &words);
    if (command)
        return run_command(ctx, command, argc - words, argv + words);
    if (!eq_command_is_group(argv[0]) || (argc > 1 && argv[1][0] != '-'))
        return unknown_command(ctx, argc, argv);
    if (argc > 1 && is_help(argv[1])) {
        eq_help_group(stdout, argv[0]);
        return EQ_OK;
    }
    return eq_fail(ctx, EQ_BAD_USAGE, "what to %s is missing; 'equipoise %s --help' lists it", argv[0], argv[0]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && argv[1][0] != '-')
        eq_threads_wait_briefly(argv);
    eq_context *ctx = eq_context_new();
    if (!ctx) {
        print_error("out of memory");
        return EXIT_FAILED;
    }
    catch_signals(ctx);
    eq_status status = dispatch(ctx, argc > 0 ? argc - 1 : 0, argv + 1);
    if (status == EQ_OK && (fflush(stdout) != 0 || ferror(stdout)))
        status = eq_fail(ctx, EQ_IO_ERROR, "standard output could not be written");
    if (status != EQ_OK)
        print_error(eq_last_error(ctx));
    eq_context_free(ctx);
    return exit_code(status);
}
