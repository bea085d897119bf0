from keyturn_cli.main import main

main()
