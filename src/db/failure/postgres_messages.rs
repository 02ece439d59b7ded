//! PostgreSQL's messages for transient errors, in every language that PostgreSQL 15 is translated into, from its catalogues.
//! `*` stands for any text.

/// SQLSTATE 57014, 55P03 and 53xxx.
pub(super) const TRANSIENT: &[&[&str]] = &[
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
pub(super) const LOCK_TIMEOUT: &[&str] = &[
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
pub(super) const DEADLOCK: &[&str] = &[
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
pub(super) const CHANGED_RESULT: &[&str] = &[
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
