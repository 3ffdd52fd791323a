"""The yardstick: attnd beside the engines that a user would pick instead. See README.md."""
