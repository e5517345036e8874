"""What tests share: valid objects, real servers, processes to be killed, readings to compare with."""
