//! The command line, as a program, against real servers and real files.

mod commands;
mod crash;
mod manifests;
mod support;
mod up;
