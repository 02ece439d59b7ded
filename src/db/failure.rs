//! What kind of failure a database error is: whether it passes by itself, and what to do with the connection.
//!
//! Diesel passes on the SQLSTATE of some errors, as their kind; of all others only the server's message, which PostgreSQL
//! translates by `lc_messages`. So the messages of transient errors stand here in every language that PostgreSQL 15 has a
//! translation for, taken from its catalogues. This is the only place that looks at the text of an error.

use diesel::result::{DatabaseErrorKind, Error};

/// The kind of a failure, from the worst for the connection to the most harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The connection is gone (SQLSTATE 08xxx, 57P0x, or no answer at all).
    Lost,
    /// The server does not hold what this connection has prepared: there is a connection pooler in between.
    Statements,
    /// The schema has changed since a statement was prepared.
    Outdated,
    /// The server takes no writes at present (SQLSTATE 25006): a standby, most likely since a failover.
    ReadOnly,
    /// Another transaction was in the way, and this one was rolled back (SQLSTATE 40001, 40P01).
    Conflict,
    /// The database cannot do it at present: a time limit, a lock, disk or memory (SQLSTATE 57014, 55P03, 53xxx;
    /// SQLITE_BUSY, _LOCKED, _FULL, _IOERR, _CANTOPEN).
    Transient,
    /// It will fail again.
    Permanent,
}

impl Failure {
    /// The kind of this error.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::DatabaseError(kind, information) => Self::of_kind(*kind, information.message()),
            Error::RollbackErrorOnCommit {
                commit_error,
                rollback_error,
            } => Self::of(commit_error).min(Self::of(rollback_error)),
            // An earlier error, which was not the work's own, has ended the transaction.
            Error::BrokenTransactionManager => Self::Lost,
            _ => Self::Permanent,
        }
    }

    /// Whether it passes by itself.
    pub fn is_transient(self) -> bool {
        // Statements that are mixed up are prepared anew on another connection.
        self != Self::Permanent
    }

    /// Whether the connection can no longer be used.
    pub fn ends_the_connection(self) -> bool {
        matches!(self, Self::Lost | Self::Statements | Self::Outdated | Self::ReadOnly)
    }

    fn of_kind(kind: DatabaseErrorKind, message: &str) -> Self {
        match kind {
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => Self::Lost,
            DatabaseErrorKind::ReadOnlyTransaction => Self::ReadOnly,
            DatabaseErrorKind::SerializationFailure => Self::Conflict,
            DatabaseErrorKind::Unknown => Self::of_message(message),
            _ => Self::Permanent,
        }
    }

    fn of_message(message: &str) -> Self {
        // Each message names the statement: it does not exist, exists already, or takes other parameters.
        if message.contains("__diesel_stmt_") {
            Self::Statements
        } else if matches_any(message, CHANGED_RESULT) {
            Self::Outdated
        } else if matches_any(message, DEADLOCK) {
            Self::Conflict
        } else if TRANSIENT.iter().any(|family| matches_any(message, family)) || is_transient_in_sqlite(message) {
            Self::Transient
        } else {
            Self::Permanent
        }
    }
}

/// The messages of [SQLite's result codes](https://www.sqlite.org/rescode.html) that pass by themselves. Extended codes share
/// the message of their primary code.
fn is_transient_in_sqlite(message: &str) -> bool {
    const EXACT: &[&str] = &[
        "database is locked",           // SQLITE_BUSY
        "database table is locked",     // SQLITE_LOCKED
        "database schema is locked",    // SQLITE_LOCKED
        "database or disk is full",     // SQLITE_FULL
        "disk I/O error",               // SQLITE_IOERR
        "unable to open database file", // SQLITE_CANTOPEN
        "locking protocol",             // SQLITE_PROTOCOL
        "out of memory",                // SQLITE_NOMEM
        "interrupted",                  // SQLITE_INTERRUPT
    ];
    const BEGINNINGS: &[&str] = &[
        "database table is locked: ",
        "unable to open database: ",
        "database schema is locked: ",
        // SQLite has rolled back the whole transaction (SQLITE_FULL, _IOERR, _NOMEM), with Diesel's savepoints in it.
        "no such savepoint: diesel_savepoint_",
    ];
    EXACT.contains(&message) || BEGINNINGS.iter().any(|beginning| message.starts_with(beginning))
}

/// Whether the message is one of these. `*` in a pattern stands for any text.
fn matches_any(message: &str, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| {
        let mut rest = message;
        pattern.split('*').enumerate().all(|(number, part)| {
            let found = if number == 0 {
                rest.starts_with(part).then_some(0)
            } else {
                rest.find(part)
            };
            found
                .and_then(|at| rest.get(at + part.len()..))
                .inspect(|after| rest = after)
                .is_some()
        })
    })
}

/// SQLSTATE 57014, 55P03 and 53xxx.
const TRANSIENT: &[&[&str]] = &[
    STATEMENT_TIMEOUT,
    USER_REQUEST,
    LOCK_TIMEOUT,
    RECOVERY,
    MEMORY,
    DISK,
    TEMPORARY_FILES,
];

/// 57014: `statement_timeout`.
const STATEMENT_TIMEOUT: &[&str] = &[
    "canceling statement due to statement timeout",
    "storniere Anfrage wegen Zeitüberschreitung der Anfrage",
    "cancelando la sentencia debido a que se agotó el tiempo de espera de sentencias",
    "annulation de la requête à cause du délai écoulé pour l'exécution de l'instruction",
    "annullamento dell'istruzione a causa di timeout",
    "ステートメントのタイムアウトのためステートメントをキャンセルしています",
    "명령실행시간 초과로 작업을 취소합니다.",
    "выполнение оператора отменено из-за тайм-аута",
    "avbryter sats på grund av sats-timeout",
    "виконання оператора скасовано через тайм-аут",
    "由于语句执行超时，正在取消查询命令",
];

/// 57014: `pg_cancel_backend`.
const USER_REQUEST: &[&str] = &[
    "canceling statement due to user request",
    "storniere Anfrage wegen Benutzeraufforderung",
    "cancelando la sentencia debido a una petición del usuario",
    "annulation de la requête à la demande de l'utilisateur",
    "annullamento dell'istruzione su richiesta dell'utente",
    "ユーザーからの要求により文をキャンセルしています",
    "사용자 요청에 의해 작업을 취소합니다.",
    "выполнение оператора отменено по запросу пользователя",
    "avbryter sats på användares begäran",
    "виконання оператора скасовано по запиту користувача",
    "由于用户请求而正在取消查询",
];

/// 55P03: `lock_timeout`.
const LOCK_TIMEOUT: &[&str] = &[
    "canceling statement due to lock timeout",
    "storniere Anfrage wegen Zeitüberschreitung einer Sperre",
    "cancelando la sentencia debido a que se agotó el tiempo de espera de candados (locks)",
    "annulation de la requête à cause du délai écoulé pour l'obtention des verrous",
    "annullamento dell'istruzione a causa di timeout di lock",
    "ロックのタイムアウトのためステートメントをキャンセルしています",
    "გამოსახულება გაუქმდება ბლოკის მოლოდინის ვადის ამოწურვის გამო",
    "잠금 대기 시간 초과로 작업을 취소합니다.",
    "выполнение оператора отменено из-за тайм-аута блокировки",
    "avbryter sats på grund av lås-timeout",
    "виконання оператора скасовано через тайм-аут блокування",
    "由于锁超时，取消语句操作",
];

/// 40001 on a standby.
const RECOVERY: &[&str] = &[
    "canceling statement due to conflict with recovery",
    "storniere Anfrage wegen Konflikt mit der Wiederherstellung",
    "cancelando la sentencia debido a un conflicto con la recuperación",
    "annulation de la requête à cause d'un conflit avec la restauration",
    "annullamento dell'istruzione a causa di un conflitto con il ripristino",
    "リカバリで競合が発生したためステートメントをキャンセルしています",
    "გამოსახულების გაუქმება აღდგენასთან კონფლიქტის გამო",
    "복구 작업 중 충돌이 발생해 작업을 중지합니다.",
    "выполнение оператора отменено из-за конфликта с процессом восстановления",
    "avbryter sats på grund av konflikt med återställning",
    "виконання оператора скасовано через конфлікт з процесом відновлення",
    "由于与恢复操作冲突，正在取消语句命令",
];

/// 40P01.
const DEADLOCK: &[&str] = &[
    "deadlock detected",
    "Verklemmung (Deadlock) entdeckt",
    "se ha detectado un deadlock",
    "interblocage (deadlock) détecté",
    "rilevato deadlock",
    "デッドロックを検出しました",
    "ნაპოვნია ურთიერთბლოკირება",
    "deadlock 발생했음",
    "обнаружена взаимоблокировка",
    "deadlock upptäckt",
    "виявлено взаємне блокування",
    "检测到死锁",
];

/// 53200.
const MEMORY: &[&str] = &[
    "out of memory",
    "Speicher aufgebraucht",
    "memoria agotada",
    "mémoire épuisée",
    "memoria esaurita",
    "メモリ不足です",
    "არასაკმარისი მეხსიერება",
    "메모리 부족",
    "нехватка памяти",
    "slut på minne",
    "недостатньо пам'яті",
    "内存用尽",
    "out of shared memory",
    "Shared Memory aufgebraucht",
    "memoria compartida agotada",
    "mémoire partagée épuisée",
    "memoria condivisa esaurita",
    "共有メモリが足りません",
    "არასაკმარისი გაზიარებული მეხსიერება",
    "공유 메모리 부족",
    "нехватка разделяемой памяти",
    "slut på delat minne",
    "нестача спільної пам'яті",
    "共享内存用尽",
];

/// 53100, and 58030 of a disk that fails.
const DISK: &[&str] = &[
    "could not extend file \"*\": *",
    "konnte Datei »*« nicht erweitern: *",
    "no se pudo extender el archivo «*»: *",
    "n'a pas pu étendre le fichier « * » : *",
    "non è stato possibile estendere il file \"*\": *",
    "ファイル\"*\"を拡張できませんでした: *",
    "ფაილის გაფართოების შეცდომა \"*\": *",
    "\"*\" 파일을 확장할 수 없음: *",
    "не удалось увеличить файл \"*\": *",
    "kunde inte utöka fil \"*\": *",
    "не вдалося розширити файл \"*\": *",
    "无法扩展文件 \"*\": *",
    "could not write to file \"*\": *",
    "konnte nicht in Datei »*« schreiben: *",
    "no se pudo escribir a archivo «*»: *",
    "n'a pas pu écrire dans le fichier « * » : *",
    "scrittura nel file \"*\" fallita: *",
    "ファイル\"*\"を書き出せませんでした: *",
    "ფაილში (*) ჩაწერის შეცდომა: *",
    "\"*\" 파일 쓰기 실패: *",
    "не удалось записать в файл \"*\": *",
    "kunde inte skriva till fil \"*\": *",
    "неможливо записати до файлу \"*\": *",
    "无法写入文件 \"*\": *",
];

/// 53400.
const TEMPORARY_FILES: &[&str] = &[
    "temporary file size exceeds temp_file_limit (*kB)",
    "Größe der temporären Datei überschreitet temp_file_limit (*kB)",
    "el tamaño del archivo temporal excede temp_file_limit permitido (*kB)",
    "la taille du fichier temporaire dépasse temp_file_limit (* Ko)",
    "la dimensione del file temporaneo supera temp_file_limit (*kB)",
    "一時ファイルのサイズがtemp_file_limit(* KB)を超えています",
    "დროებითი ფაილის ზომა temp_file_limit-ს (*კბ) აჭარბებს",
    "임시 파일 크기가 temp_file_limit (*kB)를 초과했습니다",
    "размер временного файла превышает предел temp_file_limit (* КБ)",
    "storlek på temporär fil överskrider temp_file_limit (*kB)",
    "розмір тимчасового файлу перевищує temp_file_limit (* Кб)",
    "临时文件大小超过最大允许值temp_file_limit(*kB)",
];

/// 0A000: a migration has changed a table that a statement was prepared for.
const CHANGED_RESULT: &[&str] = &[
    "cached plan must not change result type",
    "gecachter Plan darf den Ergebnistyp nicht ändern",
    "el plan almacenado no debe cambiar el tipo de resultado",
    "le plan en cache ne doit pas modifier le type en résultat",
    "il cached plan non deve cambiare il tipo del risultato",
    "キャッシュした実行計画は結果型を変更してはなりません",
    "დაკეშილი გეგმა შედეგის ტიპს არ უნდა ცვლიდეს",
    "캐시된 계획에서 결과 형식을 바꾸지 않아야 함",
    "в кешированном плане не должен изменяться тип результата",
    "cache:ad plan får inte ändra resultattyp",
    "в кешованому плані не повинен змінюватись тип результату",
    "已缓冲的计划不能改变结果类型",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(message: &str) -> Failure {
        Failure::of(&Error::DatabaseError(
            DatabaseErrorKind::Unknown,
            Box::new(message.to_owned()),
        ))
    }

    #[test]
    fn what_passes_by_itself_is_known_in_the_languages_of_the_server() {
        for message in [
            "canceling statement due to statement timeout",
            "storniere Anfrage wegen Zeitüberschreitung der Anfrage",
            "annulation de la requête à la demande de l'utilisateur",
            "ロックのタイムアウトのためステートメントをキャンセルしています",
            "out of shared memory",
            "не удалось увеличить файл \"base/5/16384\": На устройстве не осталось места",
            "could not extend file \"base/5/16384\": No space left on device",
            "temporary file size exceeds temp_file_limit (1024kB)",
            "database is locked",
            "database or disk is full",
            "disk I/O error",
            "unable to open database file",
            "no such savepoint: diesel_savepoint_1",
        ] {
            assert_eq!(unknown(message), Failure::Transient, "{message}");
        }
        for message in ["deadlock detected", "Verklemmung (Deadlock) entdeckt", "检测到死锁"] {
            assert_eq!(unknown(message), Failure::Conflict, "{message}");
        }
        for message in [
            "prepared statement \"__diesel_stmt_5\" does not exist",
            "vorbereitete Anweisung »__diesel_stmt_0« existiert bereits",
            "bind message supplies 1 parameters, but prepared statement \"__diesel_stmt_2\" requires 3",
        ] {
            assert_eq!(unknown(message), Failure::Statements, "{message}");
        }
        assert_eq!(unknown("cached plan must not change result type"), Failure::Outdated);
        for message in [
            "relation \"blog_posts\" does not exist",
            "permission denied for table users",
            "no such table: blog_posts",
            "no such savepoint: another",
            "database disk image is malformed",
            "he said: canceling statement due to statement timeout",
            "",
        ] {
            assert_eq!(unknown(message), Failure::Permanent, "{message}");
        }
    }

    #[test]
    fn sqlite_says_what_is_expected_of_it() {
        use diesel::{Connection as _, connection::SimpleConnection as _, sqlite::SqliteConnection};

        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db").display().to_string();
        let mut one = SqliteConnection::establish(&path).expect("opens");
        let mut two = SqliteConnection::establish(&path).expect("opens");
        one.batch_execute("CREATE TABLE t (x TEXT); BEGIN IMMEDIATE")
            .expect("begun");
        let failure = |connection: &mut SqliteConnection, text: &str| {
            Failure::of(&connection.batch_execute(text).expect_err(text))
        };
        assert_eq!(failure(&mut two, "BEGIN IMMEDIATE"), Failure::Transient);
        one.batch_execute("ROLLBACK; PRAGMA max_page_count = 3").expect("full");
        let much = "INSERT INTO t SELECT hex(zeroblob(100000))";
        assert_eq!(failure(&mut one, much), Failure::Transient);
        assert_eq!(
            failure(&mut one, "ATTACH '/no/such/folder/b.db' AS b"),
            Failure::Transient
        );
        assert_eq!(failure(&mut one, "SELECT * FROM nothing"), Failure::Permanent);
    }

    #[test]
    fn the_kinds_that_diesel_tells_apart_need_no_text() {
        for (kind, failure) in [
            (DatabaseErrorKind::ClosedConnection, Failure::Lost),
            (DatabaseErrorKind::UnableToSendCommand, Failure::Lost),
            (DatabaseErrorKind::ReadOnlyTransaction, Failure::ReadOnly),
            (DatabaseErrorKind::SerializationFailure, Failure::Conflict),
            (DatabaseErrorKind::UniqueViolation, Failure::Permanent),
            (DatabaseErrorKind::CheckViolation, Failure::Permanent),
        ] {
            assert_eq!(
                Failure::of(&Error::DatabaseError(kind, Box::new(String::new()))),
                failure
            );
        }
    }
}
