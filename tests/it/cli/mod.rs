//! What commands print, for people and for programs.

mod commands;
mod completion;
mod damage;
mod export;
mod git;
mod history;
mod hostile;
mod init;
mod logs;
mod output;
